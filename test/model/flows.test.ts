/** Which flows lead nowhere useful. */
import { describe, expect, it } from 'vitest';
import { destinationOf, type FlowTuples, type NodePortMatch, UdpFrontends } from '../../src/model/flows.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import { service } from '../dataplane/fake-backend.ts';

const udp = (
  name: string,
  ip: string,
  serving: readonly string[],
  more: Partial<ServiceEndpoints['port']> = {},
): ServiceEndpoints => {
  const plain = service(name, ip, serving);
  return { ...plain, port: { ...plain.port, name: { ...plain.port.name, protocol: 'UDP' }, ...more } };
};

const flow = (to: string, toPort: number, from: string, fromPort: number): FlowTuples => ({
  original: { destination: to, destinationPort: toPort },
  reply: { source: from, sourcePort: fromPort },
});

const VIP = '10.96.0.1';
const NODE = '10.250.0.1';
const OTHER = '10.250.0.2';
const PLACES: NodePortMatch = { isOfNode: (ip) => ip === NODE || ip === OTHER, hasNodePorts: (ip) => ip === NODE };
const { port: PORT } = udp('a', VIP, []).port;
const TARGET_PORT = udp('a', VIP, ['10.0.0.1']).serving[0]?.port ?? 0;

const known = (...services: readonly ServiceEndpoints[]): UdpFrontends => {
  const frontends = new UdpFrontends();
  frontends.update(services, []);
  return frontends;
};

describe('a sync makes one look at', () => {
  it('the entrances of UDP ports that are new', () => {
    const port = { externalIPs: ['198.51.100.1'], loadBalancerVIPs: ['203.0.113.1'], nodePort: 30_053 };
    const changed = new UdpFrontends().update(
      [udp('a', VIP, ['10.0.0.1'], port), service('tcp', '10.96.0.2', ['10.0.0.1'])],
      [],
    );
    expect([...changed].sort()).toEqual(
      [`${VIP} ${PORT}`, `198.51.100.1 ${PORT}`, `203.0.113.1 ${PORT}`, ':30053'].sort(),
    );
  });

  it('none where the same endpoints serve, in whatever order', () => {
    const frontends = known(udp('a', VIP, ['10.0.0.1', '10.0.0.2']));
    expect([...frontends.update([udp('a', VIP, ['10.0.0.2', '10.0.0.1'])], [])]).toEqual([]);
  });

  it.each([
    ['one came', ['10.0.0.1', '10.0.0.2']],
    ['one was replaced', ['10.0.0.2']],
    ['all went', []],
  ])('those where %s', (_, serving) => {
    const frontends = known(udp('a', VIP, ['10.0.0.1']));
    expect([...frontends.update([udp('a', VIP, serving)], [])]).toEqual([`${VIP} ${PORT}`]);
  });

  it('the former ones too where the address or the port changed', () => {
    const frontends = known(udp('a', VIP, ['10.0.0.1'], { nodePort: 30_053 }));
    const changed = frontends.update([udp('a', '10.96.0.9', ['10.0.0.1'], { nodePort: 30_054 })], []);
    expect([...changed].sort()).toEqual([`${VIP} ${PORT}`, `10.96.0.9 ${PORT}`, ':30053', ':30054'].sort());
  });

  it('those of a Service that is gone', () => {
    const service = udp('a', VIP, ['10.0.0.1']);
    const frontends = known(service);
    const { namespace, name, port } = service.port.name;
    const owner = `${namespace}/${name}${port === '' ? '' : `:${port}`}/UDP`;
    expect([...frontends.update([], [owner, 'ns/unknown/UDP'])]).toEqual([`${VIP} ${PORT}`]);
    expect([...frontends.update([], [owner])]).toEqual([]);
  });
});

describe('a write that fails', () => {
  it.each([
    ['whose wish is taken back', ['10.0.0.1']],
    ['and then another one is done', ['10.0.0.3']],
  ])('%s: its entrances are looked at once something is in the kernel', (_, last) => {
    const frontends = known(udp('a', VIP, ['10.0.0.1']));
    frontends.note([udp('a', VIP, ['10.0.0.2'], { externalIPs: ['198.51.100.1'] })], []);
    frontends.note([udp('a', VIP, last)], []);
    expect([...frontends.update([], [])]).toEqual([]);
    expect([...frontends.update([udp('a', VIP, last)], [])].sort()).toEqual(
      [`${VIP} ${PORT}`, `198.51.100.1 ${PORT}`].sort(),
    );
    expect([...frontends.update([udp('a', VIP, last)], [])]).toEqual([]);
  });

  it('of an owner whose entrances change for ever is remembered up to a bound', () => {
    const frontends = known(udp('a', VIP, ['10.0.0.1']));
    for (let i = 0; i < 3_000; i += 1) frontends.note([udp('a', `10.97.${i >> 8}.${i & 255}`, ['10.0.0.1'])], []);
    const looked = frontends.update([udp('a', VIP, ['10.0.0.1'])], []);
    expect(looked.size).toBeLessThan(1_100);
    expect(looked.has(`${VIP} ${PORT}`)).toBe(true);
  });
});

describe('a flow', () => {
  const direct = new Set([`${VIP} ${PORT}`, ':30053']);
  const stale = (frontends: UdpFrontends, one: FlowTuples, among = direct): boolean =>
    frontends.isStale(one, among, PLACES);
  const served = known(udp('a', VIP, ['10.0.0.1'], { nodePort: 30_053 }));
  const empty = known(udp('a', VIP, [], { nodePort: 30_053 }));

  it.each([
    ['to an endpoint that serves stays', served, flow(VIP, PORT, '10.0.0.1', TARGET_PORT), false],
    ['to one that is gone goes', served, flow(VIP, PORT, '10.0.0.2', TARGET_PORT), true],
    ['to another port of one that serves goes', served, flow(VIP, PORT, '10.0.0.1', TARGET_PORT + 1), true],
    ['that was never translated goes, as there is an endpoint now', served, flow(VIP, PORT, VIP, PORT), true],
    ['that was never translated stays while there is none', empty, flow(VIP, PORT, VIP, PORT), false],
    ['to the last endpoint goes with it', empty, flow(VIP, PORT, '10.0.0.1', TARGET_PORT), true],
    ['to another port of the Service’s address is not ours', served, flow(VIP, PORT + 1, '10.9.9.9', 1), false],
    ['to another address is not ours', served, flow('10.96.0.2', PORT, '10.9.9.9', 1), false],
    ['to a NodePort at the node goes with its endpoint', served, flow(NODE, 30_053, '10.0.0.2', TARGET_PORT), true],
    ['to a NodePort at the node stays with its endpoint', served, flow(NODE, 30_053, '10.0.0.1', TARGET_PORT), false],
    ['to a NodePort that was never translated goes', served, flow(NODE, 30_053, NODE, 30_053), true],
    ['to an own socket stays where NodePorts do not answer', served, flow(OTHER, 30_053, OTHER, 30_053), false],
    [
      'to a NodePort where they do not answer any more goes',
      served,
      flow(OTHER, 30_053, '10.0.0.2', TARGET_PORT),
      true,
    ],
    ['to a NodePort without endpoints and never translated stays', empty, flow(NODE, 30_053, NODE, 30_053), false],
    [
      'through the node to that port elsewhere is not ours',
      served,
      flow('192.0.2.1', 30_053, '192.0.2.1', 30_053),
      false,
    ],
  ] as const)('%s', (_, frontends, one, expected) => {
    expect(stale(frontends, one)).toBe(expected);
  });

  it('to an address and port of a Service of its own is that one’s, also where the port is a NodePort too', () => {
    const both = known(
      udp('a', VIP, ['10.0.0.1'], { nodePort: 30_053 }),
      udp('b', '10.96.0.2', ['10.0.0.3'], { externalIPs: [NODE], port: 30_053 }),
    );
    const among = new Set([':30053', `${NODE} 30053`]);
    expect(stale(both, flow(NODE, 30_053, '10.0.0.3', TARGET_PORT), among)).toBe(false);
    expect(stale(both, flow(NODE, 30_053, '10.0.0.1', TARGET_PORT), among)).toBe(true);
    // as mode ipvs names a NodePort
    expect(stale(served, flow(NODE, 30_053, '10.0.0.1', TARGET_PORT), new Set([`${NODE} 30053`]))).toBe(false);
  });

  it('of an entrance that many owners want is judged by all of them, put together once', () => {
    const many = Array.from({ length: 50 }, (_, i) => udp(`s${i}`, VIP, [`10.0.1.${i}`]));
    const frontends = known(...many);
    expect(stale(frontends, flow(VIP, PORT, '10.0.1.49', TARGET_PORT))).toBe(false);
    frontends.update([udp('s49', VIP, ['10.0.2.1'])], []);
    expect(stale(frontends, flow(VIP, PORT, '10.0.1.49', TARGET_PORT))).toBe(true);
    expect(stale(frontends, flow(VIP, PORT, '10.0.2.1', TARGET_PORT))).toBe(false);
  });

  it('is left alone where nothing changed', () => {
    expect(stale(served, flow(VIP, PORT, '10.0.0.2', TARGET_PORT), new Set())).toBe(false);
  });

  it('to a deleted Service goes', () => {
    const frontends = known(udp('a', VIP, ['10.0.0.1']));
    const changed = frontends.update([], [...ownersOf(VIP)]);
    expect(stale(frontends, flow(VIP, PORT, '10.0.0.1', TARGET_PORT), new Set(changed))).toBe(true);
  });

  it('stays where another Service has taken the entrance over with the same endpoint', () => {
    const frontends = known(udp('a', VIP, ['10.0.0.1']));
    const changed = frontends.update([udp('b', VIP, ['10.0.0.1'])], [...ownersOf(VIP)]);
    expect(stale(frontends, flow(VIP, PORT, '10.0.0.1', TARGET_PORT), new Set(changed))).toBe(false);
  });
});

/** The owner of Service `a`. */
const ownersOf = (ip: string): readonly string[] => {
  const { namespace, name, port } = udp('a', ip, []).port.name;
  return [`${namespace}/${name}${port === '' ? '' : `:${port}`}/UDP`];
};

it.each([
  ['10.96.0.1 53', { destination: '10.96.0.1', destinationPort: 53 }],
  ['fd96::1 53', { destination: 'fd96::1', destinationPort: 53 }],
  [':30053', { destinationPort: 30_053 }],
])('of %s the kernel is asked by its fields', (frontend, fields) => {
  expect(destinationOf(frontend)).toEqual(fields);
});
