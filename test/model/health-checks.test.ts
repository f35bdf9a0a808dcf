import { describe, expect, it } from 'vitest';
import { type HealthCheck, PendingHealthChecks } from '../../src/model/health-checks.ts';
import { type Follower, follow } from './follower.ts';
import { type Fields, NODE_OPTIONS, nodeObject, serviceObject, sliceObject } from './objects.ts';

const HERE = 'node1';

/** A Service for which a balancer asks this node, changed by the given fields of its spec. */
const balanced = (spec: Fields = {}, key = 'ns/web'): Fields =>
  serviceObject(key, {
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 30_000,
    ...spec,
  });

const at = (last: number, nodeName: string | undefined = HERE, conditions: Fields = {}): Fields => ({
  addresses: [`10.200.0.${last}`],
  nodeName,
  conditions,
});
const endpoints = (list: readonly Fields[], fields: Fields = {}, key = 'ns/web-1'): Fields =>
  sliceObject(key, [], { endpoints: list, ...fields });

const checked = (
  services: readonly Fields[],
  slices: readonly Fields[],
  family: 'IPv4' | 'IPv6' = 'IPv4',
): HealthCheck | undefined =>
  follow({ Service: services, EndpointSlice: slices }).tracker.healthCheck('ns/web', family);
const counted = (slices: readonly Fields[], spec: Fields = {}): number | undefined =>
  checked([balanced(spec)], slices)?.localEndpoints;

const TERMINATING = { ready: false, serving: true, terminating: true };
const PORTS = [
  { name: 'p', port: 80, protocol: 'TCP' },
  { name: 'q', port: 81, protocol: 'UDP' },
];

describe('the local endpoints of a Service', () => {
  it('are those on this node that are ready (E5)', () => {
    const unready = { ready: false, serving: true, terminating: false };
    expect(counted([endpoints([at(1), at(2), at(3), at(4, HERE, unready)])])).toBe(3);
  });

  it('are none once all of them terminate, even if they still serve (E6)', () => {
    const unready = { ready: false, serving: false, terminating: false };
    const list = [at(1, HERE, TERMINATING), at(2, HERE, TERMINATING), at(3, HERE, unready)];
    expect(counted([endpoints(list)])).toBe(0);
  });

  it('count once, on however many ports they serve (E7)', () => {
    const ports = [
      { name: 'p', port: 8080, protocol: 'TCP' },
      { name: 'q', port: 8081, protocol: 'UDP' },
    ];
    expect(counted([endpoints([at(1), at(2)], { ports })], { ports: PORTS })).toBe(2);
    expect(counted([endpoints([at(1)], { ports })], { ports: PORTS })).toBe(1);
  });

  it('are those of all its ports together', () => {
    const slices = [
      endpoints([at(1), at(2)], { ports: [{ name: 'p', port: 8080, protocol: 'TCP' }] }, 'ns/web-1'),
      endpoints([at(2), at(3)], { ports: [{ name: 'q', port: 8081, protocol: 'UDP' }] }, 'ns/web-2'),
    ];
    expect(counted(slices, { ports: PORTS })).toBe(3);
  });

  it('are none where no port of the Service leads', () => {
    expect(counted([endpoints([at(1)], { ports: [{ name: 'former', port: 8080, protocol: 'TCP' }] })])).toBe(0);
  });

  it('are none of other nodes, and none that are on no node', () => {
    expect(counted([endpoints([at(1, 'node2'), at(2, ''), { addresses: ['10.200.0.3'] }])])).toBe(0);
  });

  it('are the same when one stands in two slices, of which one is out of date', () => {
    const slices = [
      endpoints([at(1, HERE, TERMINATING), at(2)], {}, 'ns/web-1'),
      endpoints([at(1), at(2)], {}, 'ns/web-2'),
    ];
    expect(counted(slices)).toBe(2);
    expect(counted([...slices].reverse())).toBe(2);
  });

  it('are none without a slice (E8)', () => {
    expect(checked([balanced()], [])).toEqual({
      service: 'ns/web',
      port: 30_000,
      localEndpoints: 0,
      createdAt: 0,
      owners: ['ns/web:p/TCP'],
    });
  });

  it('do not depend on where else traffic may come in', () => {
    // no node port, and no address yet: the balancer is still being made
    expect(counted([endpoints([at(1)])], { allocateLoadBalancerNodePorts: false })).toBe(1);
    expect(counted([endpoints([at(1)])], { internalTrafficPolicy: 'Local' })).toBe(1);
  });

  it('are counted family by family', () => {
    const service = balanced({ clusterIPs: ['10.96.0.10', 'fd96::10'] });
    const six = { addressType: 'IPv6', endpoints: [{ addresses: ['fd20::1'], nodeName: HERE }] };
    const slices = [endpoints([at(1), at(2)]), sliceObject('ns/web-6', [], six)];
    expect(checked([service], slices, 'IPv4')?.localEndpoints).toBe(2);
    expect(checked([service], slices, 'IPv6')?.localEndpoints).toBe(1);
  });
});

describe('there is nothing to ask', () => {
  it('about a Service that is not there, whatever endpoints are (E10)', () => {
    expect(checked([], [endpoints([at(1)])])).toBeUndefined();
  });

  it('in a family that the Service does not have', () => {
    expect(checked([balanced()], [], 'IPv6')).toBeUndefined();
  });

  it.each([
    ['of another type', { type: 'NodePort' }],
    ['whose endpoints are asked anywhere', { externalTrafficPolicy: 'Cluster' }],
    ['without a port for it', { healthCheckNodePort: 0 }],
    ['without an address', { clusterIP: 'None' }],
  ])('about one %s', (_, spec) => {
    expect(checked([balanced(spec)], [endpoints([at(1)])])).toBeUndefined();
  });
});

const bench = (objects: Parameters<typeof follow>[0] = {}, options: Parameters<typeof follow>[1] = {}) => {
  const follower: Follower = follow(objects, options);
  const news = new PendingHealthChecks((service) => follower.tracker.healthCheck(service, 'IPv4'));
  return {
    tracker: follower.tracker,
    sync: () => news.note(follower.take()),
    /** Changes in short, by Service. */
    told: () =>
      Object.fromEntries([...news.take().changes].map(([key, check]) => [key, check && short(check)] as const)),
    news,
  };
};
const short = ({ port, localEndpoints }: HealthCheck): string => `${localEndpoints} at ${port}`;

describe('the news of health checks', () => {
  it('are of those Services that changed, and have one or had one', () => {
    const { tracker, sync, told } = bench({
      Service: [balanced(), balanced({ healthCheckNodePort: 30_001 }, 'ns/other'), serviceObject('ns/plain')],
    });
    sync();
    expect(told()).toEqual({ 'ns/web': '0 at 30000', 'ns/other': '0 at 30001' });
    tracker.put('EndpointSlice', endpoints([at(1)]));
    tracker.put('EndpointSlice', endpoints([at(2)], {}, 'ns/plain-1'));
    sync();
    expect(told()).toEqual({ 'ns/web': '1 at 30000' });
    tracker.put('Service', balanced({ healthCheckNodePort: 30_005 }));
    tracker.remove('Service', balanced({}, 'ns/other'));
    tracker.remove('Service', serviceObject('ns/plain'));
    sync();
    expect(told()).toEqual({ 'ns/web': '1 at 30005', 'ns/other': undefined });
    sync();
    expect(told()).toEqual({});
  });

  it('follow a Service that becomes a balanced one and ceases to be (L4)', () => {
    const { tracker, sync, told } = bench({ Service: [serviceObject('ns/web')] });
    sync();
    expect(told()).toEqual({});
    tracker.put('Service', balanced());
    sync();
    expect(told()).toEqual({ 'ns/web': '0 at 30000' });
    tracker.put('Service', balanced());
    sync();
    expect(told()).toEqual({});
    tracker.put('Service', serviceObject('ns/web'));
    sync();
    expect(told()).toEqual({ 'ns/web': undefined });
  });

  it('have one entry for a Service that loses and renames ports', () => {
    const { tracker, sync, told } = bench({
      Service: [balanced({ ports: PORTS })],
      EndpointSlice: [endpoints([at(1)])],
    });
    sync();
    expect(told()).toEqual({ 'ns/web': '1 at 30000' });
    tracker.put('Service', balanced({ ports: [{ name: 'r', port: 80, protocol: 'TCP' }] }));
    sync();
    expect(told()).toEqual({ 'ns/web': '0 at 30000' });
    tracker.remove('Service', balanced());
    sync();
    expect(told()).toEqual({ 'ns/web': undefined });
  });

  it('are as things stood when the work was taken, and wait for a write that succeeds', () => {
    const { tracker, sync, told } = bench({ Service: [balanced()], EndpointSlice: [endpoints([at(1)])] });
    sync();
    tracker.put('EndpointSlice', endpoints([at(1), at(2)]));
    tracker.put('Service', balanced({ healthCheckNodePort: 30_001 }, 'ns/other'));
    expect(told()).toEqual({ 'ns/web': '1 at 30000' }); // the second endpoint is not in the kernel yet
    sync();
    tracker.put('EndpointSlice', endpoints([at(3)]));
    tracker.remove('Service', balanced({}, 'ns/other'));
    sync(); // and the write before it failed
    expect(told()).toEqual({ 'ns/web': '1 at 30000', 'ns/other': undefined });
  });

  it('come with the addresses that NodePorts have', () => {
    let addresses: readonly string[] = ['10.250.0.1', '192.168.7.1'];
    const { tracker, sync, news } = bench(
      { Service: [balanced()], Node: [nodeObject()] },
      {
        node: { ...NODE_OPTIONS, nodePortAddresses: ['10.250.0.0/16'] },
        interfaceAddresses: () => addresses,
      },
    );
    sync();
    expect(news.take().addresses).toEqual(['10.250.0.1']);
    addresses = [...addresses, '10.250.0.2'];
    tracker.refreshNode();
    sync();
    expect(news.take().addresses).toEqual(['10.250.0.1', '10.250.0.2']);
    expect(bench().news.take().addresses).toEqual([]);
  });
});
