/** What makes work and what does not; the node's own changes; when endpoint changes were triggered. */
import { describe, expect, it } from 'vitest';
import { type Follower, follow, work } from './follower.ts';
import { type Fields, NODE_OPTIONS, nodeObject, serviceObject, sliceObject, triggered, ZONE_LABEL } from './objects.ts';

const DUAL = { clusterIPs: ['10.96.0.10', 'fd96::10'] };
const V6 = { addressType: 'IPv6' };
const WEB = serviceObject('ns/web');
const WEB_1 = sliceObject('ns/web-1', ['10.200.0.11']);

describe('an event that changes nothing makes no work', () => {
  const annotated = (object: Fields): Fields => ({
    ...object,
    metadata: { ...(object.metadata as Fields), resourceVersion: '7', annotations: { any: 'thing' } },
  });
  it.each([
    // L8
    ['the same Service', 'put', 'Service', WEB],
    ['the same slice', 'put', 'EndpointSlice', WEB_1],
    ['the same Node', 'put', 'Node', nodeObject()],
    ['the same list', 'replace', 'Service', WEB],
    ['a Service with other metadata', 'put', 'Service', annotated(WEB)],
    ['a slice with other metadata', 'put', 'EndpointSlice', annotated(WEB_1)],
    ['a headless Service', 'put', 'Service', serviceObject('ns/none', { clusterIP: 'None' })],
    // L16
    ['an FQDN slice', 'put', 'EndpointSlice', sliceObject('ns/web-2', ['example.org'], { addressType: 'FQDN' })],
    ['a slice of a Service that is not there', 'put', 'EndpointSlice', sliceObject('ns/none-1', ['10.0.0.9'])],
    // L18
    ['the end of a slice that is not there', 'remove', 'EndpointSlice', sliceObject('ns/web-9', [])],
    ['the end of a Service that is not there', 'remove', 'Service', serviceObject('ns/none')],
    ['the end of something without a name', 'remove', 'Service', {}],
    ['another Node', 'put', 'Node', nodeObject({ metadata: { name: 'node2', labels: { [ZONE_LABEL]: 'zx' } } })],
    // the machine is still there
    ['the end of the Node', 'remove', 'Node', nodeObject()],
    ['a ServiceCIDR', 'put', 'ServiceCIDR', { metadata: { name: 'kubernetes' } }],
  ] as const)('%s', (_, event, kind, object) => {
    const follower = follow({ Service: [WEB], EndpointSlice: [WEB_1] });
    follower.takeAll();
    if (event === 'replace') follower.tracker.replace(kind, [object]);
    else follower.tracker[event](kind, object);
    expect([follower.tracker.hasWork('IPv4'), follower.tracker.hasWork('IPv6')]).toEqual([false, false]);
    expect(work(follower)).toEqual([]);
  });
});

describe('the node', () => {
  const inZone = (zone: string): Fields => nodeObject({ metadata: { name: 'node1', labels: { [ZONE_LABEL]: zone } } });
  const hinted = (ip: string, zone: string): Fields => ({ addresses: [ip], hints: { forZones: [{ name: zone }] } });

  it('in another zone makes everything work again', () => {
    const endpoints = [hinted('10.200.0.11', 'za'), hinted('10.200.0.12', 'zb')];
    const follower = follow({
      Service: [WEB, serviceObject('ns/other')],
      EndpointSlice: [sliceObject('ns/web-1', [], { endpoints })],
    });
    expect(work(follower)).toEqual(['ns/other:p/TCP:', 'ns/web:p/TCP: 10.200.0.11:8080']);
    follower.tracker.put('Node', inZone('zb'));
    const { node, nodeChanged, services } = follower.take();
    expect([node.zone, nodeChanged, services.length]).toEqual(['zb', true, 2]);
    expect(follower.tracker.hasWork('IPv4')).toBe(false);
    expect(follower.take('IPv4').nodeChanged).toBe(false);
  });

  it.each([
    // Q17: other labels are nobody's business
    ['another label', { metadata: { name: 'node1', labels: { [ZONE_LABEL]: 'za', 'kubernetes.io/arch': 'arm64' } } }],
    ['another condition', { status: { ...(nodeObject().status as Fields), conditions: [{ type: 'Ready' }] } }],
    // ClusterCIDR does not look at it
    ['another pod CIDR', { spec: { podCIDR: '10.201.0.0/24' } }],
  ])('with %s makes no work', (_, fields) => {
    const follower = follow({ Service: [WEB] });
    follower.takeAll();
    follower.tracker.put('Node', nodeObject(fields));
    expect([follower.tracker.hasWork('IPv4'), follower.tracker.hasWork('IPv6')]).toEqual([false, false]);
  });

  it.each([
    ['a NodePort address more', ['10.250.0.0/16'], ['10.250.0.1', '10.250.0.2'], true],
    ['an address that NodePorts do not answer on', ['10.250.0.0/16'], ['10.250.0.1', '10.9.0.1'], false],
    ['an address more, where NodePorts answer on all', [], ['10.250.0.1', '10.250.0.2'], false],
    ['the same ones in another order', ['10.250.0.0/16'], ['10.9.0.2', '10.250.0.1'], false],
  ])('whose interfaces have %s is looked at again', (_, nodePortAddresses, after, expected) => {
    let addresses: readonly string[] = ['10.250.0.1', '10.9.0.2'];
    let heard = 0;
    const follower = follow(
      { Service: [WEB] },
      {
        node: { ...NODE_OPTIONS, nodePortAddresses },
        interfaceAddresses: () => addresses,
        onChange: () => {
          heard += 1;
        },
      },
    );
    follower.takeAll();
    heard = 0;
    addresses = after;
    follower.tracker.refreshNode();
    expect([follower.tracker.hasWork('IPv4'), heard > 0]).toEqual([expected, expected]);
    expect(follower.take().nodeChanged).toBe(expected);
  });

  it('has its addresses looked at when they change, not with what else changes', () => {
    let reads = 0;
    const counting = (addresses: readonly string[]): readonly string[] =>
      new Proxy(addresses, {
        get: (target, key) => {
          if (typeof key === 'string' && /^\d+$/.test(key)) reads += 1;
          return Reflect.get(target, key) as unknown;
        },
      });
    const many = Array.from({ length: 10_000 }, (_, i) => `10.9.${i >> 8}.${i & 255}`);
    let addresses = counting(many);
    const node = { ...NODE_OPTIONS, nodePortAddresses: ['10.250.0.0/16'], seesLocalAddresses: true };
    const follower = follow({ Service: [WEB] }, { node, interfaceAddresses: () => addresses });
    follower.takeAll();
    expect(reads).toBeGreaterThanOrEqual(10_000);
    reads = 0;
    for (const last of ['1', '2', '3']) {
      follower.tracker.put('EndpointSlice', sliceObject('ns/web-1', [`10.0.0.${last}`]));
      follower.tracker.refreshNode();
      expect(follower.take()).toMatchObject({ nodeChanged: false, services: [{}] });
    }
    expect(reads).toBe(0);
    addresses = counting([...many, '10.250.0.7']);
    expect(follower.take().node.nodePortAddresses).toEqual(['10.250.0.7']);
  });

  it('does not change when a pod comes, whose link has a link-local address by itself', () => {
    let addresses: readonly string[] = ['fd50::1', 'fe80::1'];
    const node = { ...NODE_OPTIONS, seesLocalAddresses: true };
    const follower = follow({ Service: [WEB] }, { node, interfaceAddresses: () => addresses });
    follower.takeAll();
    addresses = ['fd50::1', 'fe80::1', 'fe80::2'];
    expect(follower.take('IPv6')).toMatchObject({ nodeChanged: false, node: { localAddresses: new Set(['fd50::1']) } });
  });

  it('without a machine has the addresses of its Node object', () => {
    const { node } = follow({}, { node: { ...NODE_OPTIONS, nodePortAddresses: ['10.0.0.0/8'] } }).take();
    expect(node.nodePortAddresses).toEqual(['10.250.0.1']);
  });
});

describe('whoever listens', () => {
  it('hears of every event and list', () => {
    let heard = 0;
    const onChange = (): void => {
      heard += 1;
    };
    const { tracker } = follow({}, { onChange });
    expect(heard).toBeGreaterThanOrEqual(4);
    for (const act of [
      () => tracker.put('Service', WEB),
      () => tracker.remove('Service', WEB),
      () => tracker.replace('EndpointSlice', []),
    ]) {
      const before = heard;
      act();
      expect(heard).toBeGreaterThan(before);
    }
  });
});

describe('times of what triggered a change', () => {
  const put = (follower: Follower, object: Fields): void => follower.tracker.put('EndpointSlice', object);
  const at = (time: number, ips: readonly string[], suffix = '1'): Fields =>
    triggered(sliceObject(`ns/web-${suffix}`, ips), time);
  const started = (): Follower => {
    const follower = follow({ Service: [WEB] });
    follower.takeAll();
    return follower;
  };
  const times = (follower: Follower): readonly number[] | undefined => follower.take().services[0]?.triggeredAt;

  it.each<[string, readonly ((follower: Follower) => void)[], readonly number[]]>([
    // L21
    ['one change', [(f) => put(f, at(1, ['10.0.0.1']))], [1]],
    ['two changes', [(f) => put(f, at(1, ['10.0.0.1'])), (f) => put(f, at(2, ['10.0.0.2']))], [1, 2]],
    ['two slices', [(f) => put(f, at(1, ['10.0.0.1'])), (f) => put(f, at(2, ['10.0.0.2'], '2'))], [1, 2]],
    ['no annotation', [(f) => put(f, WEB_1)], []],
    ['added and deleted', [(f) => put(f, at(1, ['10.0.0.1'])), (f) => f.tracker.remove('EndpointSlice', WEB_1)], []],
    [
      'added, deleted and added',
      [
        (f) => put(f, at(1, ['10.0.0.1'])),
        (f) => f.tracker.remove('EndpointSlice', WEB_1),
        (f) => put(f, at(2, ['10.0.0.1'])),
      ],
      [2],
    ],
    ['another time and nothing else', [(f) => put(f, at(1, ['10.0.0.1'])), (f) => put(f, at(2, ['10.0.0.1']))], [1]],
  ])('%s', (_, events, expected) => {
    const follower = started();
    for (const event of events) event(follower);
    expect(times(follower)).toEqual(expected);
  });

  it('deleted: none', () => {
    const follower = follow({ Service: [WEB], EndpointSlice: [at(1, ['10.0.0.1'])] });
    follower.takeAll();
    follower.tracker.remove('EndpointSlice', WEB_1);
    expect(times(follower)).toEqual([]);
  });

  it('of the first list do not count: they are from before we were here', () => {
    expect(times(follow({ Service: [WEB], EndpointSlice: [at(1, ['10.0.0.1'])] }))).toEqual([]);
  });

  it('are of one Service', () => {
    const follower = started();
    follower.tracker.put('Service', serviceObject('ns/other'));
    put(follower, at(1, ['10.0.0.1']));
    put(follower, triggered(sliceObject('ns/other-1', ['10.0.0.2']), 2));
    const { services } = follower.take();
    expect(Object.fromEntries(services.map(({ port, triggeredAt }) => [port.name.name, triggeredAt]))).toEqual({
      web: [1],
      other: [2],
    });
  });

  it('are of one family: the other has not waited for them', () => {
    const follower = follow({ Service: [serviceObject('ns/web', DUAL)] });
    follower.takeAll();
    put(follower, at(1, ['10.0.0.1']));
    put(follower, triggered(sliceObject('ns/web-6', ['fd20::11'], V6), 2));
    expect(follower.take('IPv4').services[0]?.triggeredAt).toEqual([1]);
    expect(follower.take('IPv6').services[0]?.triggeredAt).toEqual([2]);
  });

  it('are handed over once', () => {
    const follower = started();
    put(follower, at(1, ['10.0.0.1']));
    expect(times(follower)).toEqual([1]);
    follower.tracker.put('Service', serviceObject('ns/web', { externalIPs: ['198.51.100.7'] }));
    expect(times(follower)).toEqual([]);
  });

  it('do not gather where nobody takes them', () => {
    const follower = follow({ Service: [serviceObject('ns/web', DUAL)] }, { families: ['IPv4'] });
    follower.take();
    put(follower, triggered(sliceObject('ns/web-6', ['fd20::11'], V6), 2));
    put(follower, triggered(sliceObject('ns/web-7', ['example.org'], { addressType: 'FQDN' }), 3));
    put(follower, at(4, ['10.0.0.1']));
    expect(times(follower)).toEqual([4]);
  });
});
