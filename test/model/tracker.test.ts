import { describe, expect, it } from 'vitest';
import { OBJECT_KINDS } from '../../src/model/kubernetes.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { type Follower, follow, work } from './follower.ts';
import { type Fields, NODE_OPTIONS, nodeObject, serviceObject, sliceObject } from './objects.ts';

const ports = (...names: readonly string[]): Fields => ({ ports: names.map((name, i) => ({ name, port: 80 + i })) });
const DUAL = { clusterIPs: ['10.96.0.10', 'fd96::10'] };
const V6 = { addressType: 'IPv6' };
const WEB = serviceObject('ns/web');
const WEB_1 = sliceObject('ns/web-1', ['10.200.0.11']);

const healthPorts = (follower: Follower): number =>
  [...follower.known().values()].filter(({ port }) => port.healthCheckNodePort !== 0).length;

describe('before everything is there', () => {
  it('says what it waits for, kind by kind', () => {
    const tracker = new Tracker({ node: { ...NODE_OPTIONS, seesServiceCIDRs: true } });
    const said = OBJECT_KINDS.map((kind) => {
      const waiting = tracker.waitingFor();
      tracker.replace(kind, []);
      return waiting;
    });
    expect(said).toEqual([
      'the first list of Service, EndpointSlice, Node, ServiceCIDR',
      'the first list of EndpointSlice, Node, ServiceCIDR',
      'the first list of Node, ServiceCIDR',
      'the first list of ServiceCIDR',
    ]);
    expect(tracker.waitingFor()).toBeUndefined();
  });

  it('waits for no ServiceCIDRs in a mode that does not look at them', () => {
    const tracker = new Tracker({ node: NODE_OPTIONS });
    for (const kind of ['Service', 'EndpointSlice', 'Node'] as const) tracker.replace(kind, []);
    expect(tracker.waitingFor()).toBeUndefined();
  });

  it('waits on for the podCIDR, until it is told to go on', () => {
    const node = { ...NODE_OPTIONS, detectLocalMode: 'NodeCIDR' as const };
    const awaited = 'Node node1 has no podCIDR yet (--detect-local-mode=NodeCIDR needs it)';
    const { tracker } = follow({ Node: [nodeObject({ spec: {} })] }, { node });
    expect(tracker.waitingFor()).toBe(awaited);
    tracker.put('Node', nodeObject());
    expect(tracker.waitingFor()).toBeUndefined();
    const heard: string[] = [];
    const other = follow({ Node: [] }, { node, onChange: () => heard.push('change') });
    expect(other.tracker.waitingFor()).toBe(awaited);
    heard.length = 0;
    other.tracker.goOn();
    expect(other.tracker.waitingFor()).toBeUndefined();
    expect(heard).toEqual(['change']);
    expect(other.take().node.localDetector).toBeUndefined();
    other.tracker.put('Node', nodeObject());
    expect(other.take()).toMatchObject({
      nodeChanged: true,
      node: { localDetector: { cidr: { text: '10.200.0.0/24' } } },
    });
  });

  it('a single event is no list', () => {
    const tracker = new Tracker({ node: { ...NODE_OPTIONS, seesServiceCIDRs: true } });
    for (const kind of OBJECT_KINDS) tracker.put(kind, nodeObject());
    expect(tracker.waitingFor()).toBe('the first list of Service, EndpointSlice, Node, ServiceCIDR');
  });
});

describe('a Node that comes anew without addresses', () => {
  const node = { ...NODE_OPTIONS, nodePortAddresses: ['primary'] };
  const BARE = nodeObject({ spec: {}, status: {} });

  it('stops nothing, and NodePorts keep the addresses they had', () => {
    const follower = follow({}, { node });
    follower.takeAll();
    follower.tracker.remove('Node', nodeObject());
    follower.tracker.put('Node', BARE);
    expect(follower.tracker.waitingFor()).toBeUndefined();
    expect(follower.tracker.missing()).toMatchObject([{ what: 'addresses of Node node1' }]);
    follower.tracker.put('Service', WEB);
    expect(follower.take()).toMatchObject({ nodeChanged: false, node: { nodePortAddresses: ['10.250.0.1'] } });
    follower.tracker.put('Node', nodeObject());
    expect(follower.tracker.missing()).toEqual([]);
  });

  it('at the start holds nothing up: NodePorts come with the addresses', () => {
    const follower = follow({ Node: [BARE] }, { node });
    expect(follower.tracker.waitingFor()).toBeUndefined();
    expect(follower.take().node.nodePortAddresses).toEqual([]);
    follower.tracker.put('Node', nodeObject());
    expect(follower.take().node.nodePortAddresses).toEqual(['10.250.0.1']);
  });

  it('is told apart from none at all', () => {
    const { tracker } = follow({ Node: [] }, { node });
    expect(tracker.missing().map(({ what }) => what)).toEqual(['Node node1', 'addresses of Node node1']);
    tracker.replace('Node', [nodeObject()]);
    expect(tracker.missing()).toEqual([]);
    tracker.replace('Node', []);
    expect(tracker.missing()).toMatchObject([
      { what: 'Node node1', why: expect.stringContaining('--hostname-override') },
      {},
    ]);
  });
});

describe('the first work', () => {
  it('is everything, the API server’s Service before all others', () => {
    const names = ['ns/b', 'default/kubernetes', 'ns/a'];
    const { services, nodeChanged } = follow({ Service: names.map((name) => serviceObject(name)) }).take();
    expect(nodeChanged).toBe(true);
    expect(services.map(({ port }) => port.name.name)[0]).toBe('kubernetes');
    expect(services).toHaveLength(3);
  });

  it('is there even when there is no Service: the node itself', () => {
    const follower = follow();
    expect(follower.tracker.hasWork('IPv4')).toBe(true);
    expect(follower.take()).toMatchObject({ node: { name: 'node1', zone: 'za' }, services: [], gone: [] });
    expect(follower.tracker.hasWork('IPv4')).toBe(false);
    expect(follower.tracker.hasWork('IPv6')).toBe(true);
  });
});

describe('Services', () => {
  it('come, lose ports and go (L1, L2)', () => {
    const balancer = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 };
    const follower = follow();
    follower.take();
    follower.tracker.put('Service', serviceObject('ns/a', ports('p', 'q', 'r')));
    follower.tracker.put('Service', serviceObject('ns/b', { ...ports('p', 'q', 'r'), type: 'NodePort' }));
    follower.tracker.put('Service', serviceObject('ns/c', { ...ports('p', 'q'), type: 'LoadBalancer' }));
    follower.tracker.put('Service', serviceObject('ns/d', { ...ports('p', 'q'), ...balancer }));
    follower.take();
    expect(follower.tracker.serviceCount).toBe(4);
    expect([...follower.known().keys()]).toHaveLength(10);
    expect(healthPorts(follower)).toBe(2);
    follower.tracker.put('Service', serviceObject('ns/a', ports('q')));
    for (const name of ['b', 'c', 'd']) follower.tracker.remove('Service', serviceObject(`ns/${name}`));
    const { gone } = follower.take();
    expect(gone).toHaveLength(9);
    expect([...follower.known().keys()]).toEqual(['ns/a:q/TCP']);
    expect(healthPorts(follower)).toBe(0);
  });

  it('change their type there and back, and do nothing when nothing changes (L4)', () => {
    const balancer = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 };
    const follower = follow();
    const seen = [{}, balancer, balancer, {}].map((spec) => {
      follower.tracker.put('Service', serviceObject('ns/web', { ...ports('p', 'q'), ...spec }));
      const hadWork = follower.tracker.hasWork('IPv4');
      follower.take();
      return [hadWork, follower.known().size, healthPorts(follower)];
    });
    expect(seen).toEqual([
      [true, 2, 0],
      [true, 2, 2],
      [false, 2, 2],
      [true, 2, 0],
    ]);
  });

  it('whose port gets another name, protocol or number', () => {
    const follower = follow({ Service: [WEB], EndpointSlice: [WEB_1] });
    follower.take();
    const steps: readonly (readonly [Fields, readonly string[]])[] = [
      [{ name: 'q', port: 80 }, ['ns/web:q/TCP:', 'gone ns/web:p/TCP']],
      [{ name: 'q', port: 80, protocol: 'UDP' }, ['ns/web:q/UDP:', 'gone ns/web:q/TCP']],
      [{ name: 'p', port: 80 }, ['ns/web:p/TCP: 10.200.0.11:8080', 'gone ns/web:q/UDP']],
      [{ name: 'p', port: 81 }, ['ns/web:p/TCP: 10.200.0.11:8080']],
    ];
    for (const [port, expected] of steps) {
      follower.tracker.put('Service', serviceObject('ns/web', { ports: [port] }));
      expect(work(follower)).toEqual(expected);
    }
  });

  it('that stop being proxied are gone', () => {
    const follower = follow({ Service: [WEB], EndpointSlice: [WEB_1] });
    follower.take();
    follower.tracker.put('Service', serviceObject('ns/web', { type: 'ExternalName' }));
    expect(work(follower)).toEqual(['gone ns/web:p/TCP']);
  });

  it('that are deleted and made again between two looks are only looked at', () => {
    const follower = follow({ Service: [WEB], EndpointSlice: [WEB_1] });
    follower.take();
    follower.tracker.remove('Service', WEB);
    follower.tracker.put('Service', WEB);
    expect(work(follower)).toEqual(['ns/web:p/TCP: 10.200.0.11:8080']);
  });
});

describe('slices', () => {
  it('may come before their Service, and stay when it goes', () => {
    const follower = follow({ EndpointSlice: [WEB_1] });
    expect(work(follower)).toEqual([]);
    for (let i = 0; i < 2; i += 1) {
      follower.tracker.put('Service', WEB);
      expect(work(follower)).toEqual(['ns/web:p/TCP: 10.200.0.11:8080']);
      follower.tracker.remove('Service', WEB);
      expect(work(follower)).toEqual(['gone ns/web:p/TCP']);
    }
  });

  it.each([
    // L10
    ['a port where there was none', { ports: [] }, {}, '', ' 10.200.0.11:8080'],
    // L9
    [
      'an address more',
      {},
      { endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'] }] },
      ' 10.200.0.11:8080',
      ' 10.0.0.1:8080 10.0.0.2:8080',
    ],
    ['another port name', {}, { ports: [{ name: 'q', port: 8080 }] }, ' 10.200.0.11:8080', ''],
    ['another port number', {}, { ports: [{ name: 'p', port: 81 }] }, ' 10.200.0.11:8080', ' 10.200.0.11:81'],
    ['no address any more', {}, { endpoints: [] }, ' 10.200.0.11:8080', ''],
    // L19
    [
      'nobody ready',
      {},
      { endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: false, serving: false } }] },
      ' 10.200.0.11:8080',
      '',
    ],
    [
      'draining only',
      {},
      { endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: false, serving: true, terminating: true } }] },
      ' 10.200.0.11:8080',
      ' 10.0.0.1:8080',
    ],
  ])('with %s', (_, before, after, first, then) => {
    const follower = follow({ Service: [WEB], EndpointSlice: [sliceObject('ns/web-1', ['10.200.0.11'], before)] });
    expect(work(follower)).toEqual([`ns/web:p/TCP:${first}`]);
    follower.tracker.put('EndpointSlice', sliceObject('ns/web-1', ['10.200.0.11'], after));
    expect(work(follower)).toEqual([`ns/web:p/TCP:${then}`]);
    follower.tracker.put('EndpointSlice', sliceObject('ns/web-1', ['10.200.0.11'], before));
    expect(work(follower)).toEqual([`ns/web:p/TCP:${first}`]);
  });

  it('that change hands leave their former Service', () => {
    const follower = follow({ Service: [WEB, serviceObject('ns/other')], EndpointSlice: [WEB_1] });
    follower.take();
    const labels = { 'kubernetes.io/service-name': 'other' };
    follower.tracker.put('EndpointSlice', { ...WEB_1, metadata: { namespace: 'ns', name: 'web-1', labels } });
    expect(work(follower)).toEqual(['ns/other:p/TCP: 10.200.0.11:8080', 'ns/web:p/TCP:']);
  });

  it('that come back under their name with the other family leave the first one', () => {
    const follower = follow({ Service: [serviceObject('ns/web', DUAL)], EndpointSlice: [WEB_1] });
    follower.takeAll();
    follower.tracker.replace('EndpointSlice', [sliceObject('ns/web-1', ['fd20::11'], V6)]);
    expect(work(follower)).toEqual(['ns/web:p/TCP:']);
    expect(work(follower, 'IPv6')).toEqual(['ns/web:p/TCP: [fd20::11]:8080']);
  });

  it('and Services that a new list does not have are gone', () => {
    const follower = follow({ Service: [WEB, serviceObject('ns/other')], EndpointSlice: [WEB_1] });
    follower.take();
    follower.tracker.replace('Service', [WEB]);
    follower.tracker.replace('EndpointSlice', []);
    expect(work(follower)).toEqual(['ns/web:p/TCP:', 'gone ns/other:p/TCP']);
  });
});

describe('families', () => {
  it('have work only for what is theirs', () => {
    const follower = follow({ Service: [serviceObject('ns/web', DUAL)], EndpointSlice: [WEB_1] });
    follower.takeAll();
    follower.tracker.put('EndpointSlice', sliceObject('ns/web-6', ['fd20::11'], V6));
    expect([follower.tracker.hasWork('IPv4'), follower.tracker.hasWork('IPv6')]).toEqual([false, true]);
    expect(work(follower, 'IPv6')).toEqual(['ns/web:p/TCP: [fd20::11]:8080']);
    follower.tracker.put('Service', serviceObject('ns/web', { ...DUAL, externalIPs: ['fd98::7'] }));
    expect([follower.tracker.hasWork('IPv4'), follower.tracker.hasWork('IPv6')]).toEqual([false, true]);
    follower.tracker.put('Service', serviceObject('ns/web', {}));
    expect(work(follower, 'IPv6')).toEqual(['gone ns/web:p/TCP']);
    expect(follower.tracker.hasWork('IPv4')).toBe(false);
  });

  it('that nobody takes work for gather none', () => {
    const follower = follow({ Service: [serviceObject('ns/web', DUAL)] }, { families: ['IPv4'] });
    follower.take();
    follower.tracker.put('EndpointSlice', sliceObject('ns/web-6', ['fd20::11'], V6));
    expect(follower.tracker.hasWork('IPv4')).toBe(false);
  });
});
