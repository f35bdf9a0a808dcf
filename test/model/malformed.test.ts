/** Objects that cannot be what they say: refused with the name of the field, and harmless to everybody else. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSlice } from '../../src/model/endpoint.ts';
import { Malformed, OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import { readNode } from '../../src/model/node.ts';
import type { Problem } from '../../src/model/problems.ts';
import { readService } from '../../src/model/service.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { follow, work } from './follower.ts';
import { type Fields, NODE_OPTIONS, nodeObject, serviceObject, sliceObject } from './objects.ts';

const clientIP = (timeoutSeconds: unknown): Fields => ({
  sessionAffinity: 'ClientIP',
  sessionAffinityConfig: { clientIP: { timeoutSeconds } },
});
const port = (fields: Fields): Fields => ({ ports: [{ port: 80, ...fields }] });

describe('a Service', () => {
  it.each([
    ['text', 'a Service must be an object, not "text"'],
    [undefined, 'a Service must be an object, not undefined'],
    [null, 'a Service must be an object, not null'],
    [[], 'a Service must be an object, not []'],
    [{}, 'metadata.name is missing'],
    [{ metadata: { namespace: 'ns', name: '' } }, 'metadata.name is missing'],
    [{ metadata: { name: 'web' } }, 'metadata.namespace is missing'],
    [{ metadata: { name: 'web', namespace: 7 } }, 'metadata.namespace must be text, not 7'],
    [
      { ...serviceObject('ns/web'), status: { loadBalancer: { ingress: {} } } },
      'status.loadBalancer.ingress must be a list, not {}',
    ],
  ])('%j', (object, message) => {
    expect(() => readService(object)).toThrow(new Malformed(message));
  });

  it.each([
    [{ clusterIP: '10.96.0.300' }, 'spec.clusterIPs: "10.96.0.300" is not an IP address'],
    [{ clusterIPs: ['10.96.0.1', 6] }, 'spec.clusterIPs: 6 is not an IP address'],
    [{ ports: 80 }, 'spec.ports must be a list, not 80'],
    [{ ports: [{ port: 80 }, { name: 'p' }] }, 'spec.ports[1].port must be a port from 1 to 65535, not undefined'],
    [{ ports: [null] }, 'spec.ports[0].port must be a port from 1 to 65535, not undefined'],
    [port({ port: 0 }), 'spec.ports[0].port must be a port from 1 to 65535, not 0'],
    [port({ port: '80' }), 'spec.ports[0].port must be a port from 1 to 65535, not "80"'],
    [port({ port: 65_536 }), 'spec.ports[0].port must be a port from 1 to 65535, not 65536'],
    [port({ port: 80.5 }), 'spec.ports[0].port must be a port from 1 to 65535, not 80.5'],
    [port({ nodePort: 70_000 }), 'spec.ports[0].nodePort must be a port from 1 to 65535, not 70000'],
    [port({ protocol: 'tcp' }), 'spec.ports[0].protocol must be TCP, UDP or SCTP, not "tcp"'],
    [port({ name: 80 }), 'spec.ports[0].name must be text, not 80'],
    [{ ports: [{ port: 80 }, { port: 81 }] }, 'spec.ports[1]: a second port ns/web/TCP in ns/web'],
    [{ externalIPs: '198.51.100.7' }, 'spec.externalIPs must be a list, not "198.51.100.7"'],
    [{ loadBalancerSourceRanges: {} }, 'spec.loadBalancerSourceRanges must be a list, not {}'],
    [
      { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 65_536 },
      'spec.healthCheckNodePort must be a port from 1 to 65535, not 65536',
    ],
    [
      clientIP('5'),
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds must be a positive whole number of seconds, not "5"',
    ],
    [
      clientIP(0.5),
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds must be a positive whole number of seconds, not 0.5',
    ],
    [
      clientIP(-1),
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds must be a positive whole number of seconds, not -1',
    ],
  ])('with %j', (spec, message) => {
    expect(() => readService(serviceObject('ns/web', spec))).toThrow(new Malformed(message));
  });
});

describe('an EndpointSlice', () => {
  it.each([
    [{ metadata: { namespace: 'ns' } }, 'metadata.name is missing'],
    [{ addressType: 4 }, 'addressType must be text, not 4'],
    [{ ports: {} }, 'ports must be a list, not {}'],
    [port({ port: -1 }), 'ports[0].port must be a port from 1 to 65535, not -1'],
    [port({ port: '80' }), 'ports[0].port must be a port from 1 to 65535, not "80"'],
    [port({ protocol: 'ICMP' }), 'ports[0].protocol must be TCP, UDP or SCTP, not "ICMP"'],
    [port({ name: 1 }), 'ports[0].name must be text, not 1'],
    [{ endpoints: 'none' }, 'endpoints must be a list, not "none"'],
    [{ endpoints: [{ addresses: '10.0.0.1' }] }, 'endpoints[0].addresses must be a list, not "10.0.0.1"'],
    [{ endpoints: [{ addresses: [7] }] }, 'endpoints[0].addresses[0]: 7 is not an IPv4 address'],
    [{ endpoints: [{ addresses: ['pod'] }] }, 'endpoints[0].addresses[0]: "pod" is not an IPv4 address'],
    [{ endpoints: [{ addresses: ['fd00::1'] }] }, 'endpoints[0].addresses[0]: "fd00::1" is not an IPv4 address'],
    [
      { addressType: 'IPv6', endpoints: [{ addresses: ['10.0.0.1'] }] },
      'endpoints[0].addresses[0]: "10.0.0.1" is not an IPv6 address',
    ],
    [{ endpoints: [{ addresses: ['10.0.0.1'], nodeName: {} }] }, 'endpoints[0].nodeName must be text, not {}'],
    [
      { endpoints: [{ addresses: ['10.0.0.1'], hints: { forZones: 'za' } }] },
      'endpoints[0].hints.forZones must be a list, not "za"',
    ],
    [
      { endpoints: [{ addresses: ['10.0.0.1'], hints: { forNodes: [{ name: 1 }] } }] },
      'endpoints[0].hints.forNodes must be text, not 1',
    ],
  ])('with %j', (fields, message) => {
    expect(() => readSlice(sliceObject('ns/web-1', [], fields))).toThrow(new Malformed(message));
  });
});

describe('a Node', () => {
  it.each([
    [{ metadata: { labels: {} } }, 'metadata.name is missing'],
    [{ spec: { podCIDRs: '10.0.0.0/8' } }, 'spec.podCIDRs must be a list, not "10.0.0.0/8"'],
    [{ status: { addresses: {} } }, 'status.addresses must be a list, not {}'],
    [{ status: { addresses: [{ address: 10 }] } }, 'status.addresses[0].address must be text, not 10'],
  ])('with %j', (fields, message) => {
    expect(() => readNode(nodeObject(fields))).toThrow(new Malformed(message));
  });
});

describe('in the tracker, objects that cannot be read', () => {
  const WEB = serviceObject('ns/web');
  const WEB_1 = sliceObject('ns/web-1', ['10.200.0.11']);
  const BAD_WEB = serviceObject('ns/web', { ports: [{ name: 'p', port: 0 }] });
  const message = 'spec.ports[0].port must be a port from 1 to 65535, not 0';
  const problem: Problem = { kind: 'Service', key: 'ns/web', message };

  const followed = () => {
    const heard: Problem[] = [];
    const follower = follow({ Service: [WEB], EndpointSlice: [WEB_1] }, { onProblem: (one) => heard.push(one) });
    follower.takeAll();
    return { follower, heard, tracker: follower.tracker };
  };

  it('leave what was known, are counted each time and told once', () => {
    const { follower, heard, tracker } = followed();
    tracker.put('Service', BAD_WEB);
    tracker.put('Service', BAD_WEB);
    tracker.replace('Service', [BAD_WEB]);
    expect(work(follower)).toEqual([]);
    expect(tracker.serviceCount).toBe(1);
    expect(tracker.skipped).toBe(3);
    expect(tracker.problems).toEqual([problem]);
    expect(heard).toEqual([problem]);
  });

  it('are told again when something else is wrong with them', () => {
    const { heard, tracker } = followed();
    tracker.put('Service', BAD_WEB);
    tracker.put('Service', serviceObject('ns/web', { ports: 'none' }));
    expect(heard.map((one) => one.message)).toEqual([message, 'spec.ports must be a list, not "none"']);
    expect(tracker.problems).toHaveLength(1);
  });

  it.each([
    ['when they can be read again', (tracker: Tracker) => tracker.put('Service', WEB)],
    ['when they are deleted', (tracker: Tracker) => tracker.remove('Service', WEB)],
    ['when a list does not have them', (tracker: Tracker) => tracker.replace('Service', [])],
  ])('are no problem any more %s', (_, cure) => {
    const { tracker } = followed();
    tracker.put('Service', BAD_WEB);
    cure(tracker);
    expect(tracker.problems).toEqual([]);
  });

  it('keep a slice for its Service, and for no other', () => {
    const { follower, tracker } = followed();
    const unreadable = { ...WEB_1, ports: 'none' };
    tracker.put('EndpointSlice', unreadable);
    expect(work(follower)).toEqual([]);
    tracker.put('EndpointSlice', { ...unreadable, metadata: { namespace: 'ns', name: 'web-1', labels: {} } });
    expect(work(follower)).toEqual(['ns/web:p/TCP:']);
  });

  it.each([
    ['a slice without the label of its Service', {}],
    ['one with an empty label', { labels: { 'kubernetes.io/service-name': '' } }],
  ])('%s is none of them, and no more the Service’s that it was of', (_, labels) => {
    const { follower, heard, tracker } = followed();
    const orphan = { ...WEB_1, metadata: { namespace: 'ns', name: 'web-1', ...labels } };
    tracker.put('EndpointSlice', orphan);
    expect(work(follower)).toEqual(['ns/web:p/TCP:']);
    tracker.replace('EndpointSlice', [orphan]);
    expect([tracker.skipped, tracker.problems, heard]).toEqual([0, [], []]);
    tracker.put('EndpointSlice', WEB_1);
    expect(work(follower)).toEqual(['ns/web:p/TCP: 10.200.0.11:8080']);
  });

  it('and never could be leave nothing behind', () => {
    const { tracker } = followed();
    tracker.replace('Service', [WEB, serviceObject('ns/new', { ports: 'none' }), {}]);
    tracker.put('EndpointSlice', sliceObject('ns/web-2', [], { ports: 'none' }));
    expect(tracker.problems.map(({ kind, key }) => `${kind} ${key}`)).toEqual([
      'Service ns/new',
      'Service without a name',
      'EndpointSlice ns/web-2',
    ]);
    tracker.replace('Service', [WEB]);
    expect(tracker.problems.map(({ key }) => key)).toEqual(['ns/web-2']);
    tracker.replace('EndpointSlice', []);
    expect(tracker.problems).toEqual([]);
  });
});

describe('whatever is put in place of any field', () => {
  const FULL: Readonly<Record<ObjectKind, Fields>> = {
    Service: serviceObject(
      'ns/web',
      {
        type: 'LoadBalancer',
        clusterIPs: ['10.96.0.10', 'fd96::10'],
        ports: [{ name: 'p', port: 80, protocol: 'TCP', nodePort: 30_080 }],
        externalIPs: ['198.51.100.7'],
        externalTrafficPolicy: 'Local',
        internalTrafficPolicy: 'Local',
        healthCheckNodePort: 32_000,
        loadBalancerSourceRanges: ['10.0.0.0/8'],
        ...clientIP(60),
      },
      [{ ip: '203.0.113.7', ipMode: 'VIP' }],
    ),
    EndpointSlice: sliceObject('ns/web-1', [], {
      endpoints: [
        {
          addresses: ['10.200.0.11'],
          nodeName: 'node1',
          conditions: { ready: true, serving: true, terminating: false },
          hints: { forZones: [{ name: 'za' }], forNodes: [{ name: 'node1' }] },
        },
      ],
    }),
    Node: nodeObject(),
    ServiceCIDR: { kind: 'ServiceCIDR', metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.96.0.0/16'] } },
  };

  /** The ways to every value in an object, the object itself included. */
  const paths = (value: unknown): readonly (readonly string[])[] => {
    if (typeof value !== 'object' || value === null) return [[]];
    return [[], ...Object.entries(value).flatMap(([key, below]) => paths(below).map((path) => [key, ...path]))];
  };

  const withValueAt = (object: unknown, [key, ...rest]: readonly string[], value: unknown): unknown => {
    if (key === undefined) return value;
    const copy: unknown = structuredClone(object);
    (copy as Record<string, unknown>)[key] = withValueAt((copy as Record<string, unknown>)[key], rest, value);
    return copy;
  };

  const odd = fc.oneof(
    fc.constantFrom(undefined, null, '', 'text', 0, -1, 1.5, true, [], {}, [null], [{}], [[]], [1], { name: null }),
    fc.jsonValue({ maxDepth: 2 }),
  );

  it.each(OBJECT_KINDS)('of a %s, nobody else is harmed', (kind) => {
    const object = FULL[kind];
    fc.assert(
      fc.property(fc.constantFrom(...paths(object)), odd, (path, value) => {
        const tracker = new Tracker({ node: NODE_OPTIONS });
        tracker.replace('ServiceCIDR', []);
        tracker.replace('Node', [nodeObject()]);
        tracker.replace('Service', [serviceObject('ns/good')]);
        tracker.replace('EndpointSlice', [sliceObject('ns/good-1', ['10.200.0.12'])]);
        tracker.put(kind, withValueAt(object, path, value));
        const { services } = tracker.take('IPv4');
        const good = services.find(({ port: { name } }) => name.name === 'good');
        expect(good?.reachable.map(({ ip }) => ip)).toEqual(['10.200.0.12']);
        expect(tracker.skipped).toBe(tracker.problems.length);
      }),
      { numRuns: 400 },
    );
  });
});
