import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinHostPort } from '../../src/model/address.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { ServicePort } from '../../src/model/service.ts';
import { type NodeTopology, resolve } from '../../src/model/topology.ts';
import { endpoint, type Fields, portOf, serviceObject } from './objects.ts';

const NODE_PORT = { type: 'NodePort', ports: [{ name: 'p', port: 80, nodePort: 30_080 }] };
const EXTERNAL_LOCAL = { externalTrafficPolicy: 'Local' };
const INTERNAL_LOCAL = { internalTrafficPolicy: 'Local' };

const port = (...fields: readonly Fields[]): ServicePort =>
  portOf(serviceObject('ns/web', Object.assign({}, ...fields)));

const CLUSTER = port();
const IN_A: NodeTopology = { nodeName: 'node1', zone: 'za' };

const STATES = {
  /** ready */
  r: {},
  /** serving while it terminates */
  s: { ready: false, serving: true, terminating: true },
  /** terminating, serves no more */
  x: { ready: false, serving: false, terminating: true },
  /** not ready, still serving */
  u: { ready: false, serving: true },
  /** not ready, not serving */
  n: { ready: false, serving: false },
} as const satisfies Record<string, Partial<Endpoint>>;

/**
 * Endpoints 10.0.0.0, .1, … in short: a state, `L` for one on this node, then zone hints by letter and node hints by
 * number. `rL a b 1` is ready, here, for zones za and zb and for node1.
 */
const endpoints = (text: string): readonly Endpoint[] =>
  text.split(', ').flatMap((one, i) => {
    const [first = '', ...hints] = one.split(' ');
    if (first === '') return [];
    return [
      endpoint(`10.0.0.${i}`, {
        ...STATES[first.charAt(0) as keyof typeof STATES],
        isLocal: first.charAt(1) === 'L',
        zoneHints: hints.filter((hint) => /[a-z]/.test(hint)).map((zone) => `z${zone}`),
        nodeHints: hints.filter((hint) => /\d/.test(hint)).map((node) => `node${node}`),
      }),
    ];
  });

/** `cluster / local / reachable`, each as the last bytes of its addresses, and whether there is any at all. */
const shown = (service: ServicePort, text: string, place: NodeTopology = IN_A): string => {
  const { cluster, local, reachable, hasAny } = resolve(service, endpoints(text), place);
  const sets = [cluster, local, reachable].map((set) => set.map(({ ip }) => ip.slice('10.0.0.'.length)).join(','));
  return `${sets.map((set) => set || '-').join(' / ')}${hasAny ? '' : ' none'}`;
};

const EXTERNAL = port(NODE_PORT, EXTERNAL_LOCAL);
const INTERNAL_AND_PORT = port(NODE_PORT, INTERNAL_LOCAL);
const INTERNAL = port(INTERNAL_LOCAL);
const BOTH = port(NODE_PORT, EXTERNAL_LOCAL, INTERNAL_LOCAL);

describe('hints', () => {
  it.each([
    ['K1', CLUSTER, 'r a, r b, r c, r a', '0,3 / - / 0,3', IN_A],
    ['K2', EXTERNAL, 'rL a, rL b, r c, r a', '0,3 / 0,1 / 0,1,3', IN_A],
    ['K3', INTERNAL_AND_PORT, 'rL a, rL b, r c, r a', '0,3 / 0,1 / 0,1,3', IN_A],
    ['K4', CLUSTER, 'r a, r b', '0,1 / - / 0,1', { nodeName: 'node1', zone: '' }],
    ['K6', CLUSTER, 'r a, r a', '0,1 / - / 0,1', { nodeName: 'node1', zone: 'zb' }],
    ['K7', CLUSTER, 'r a, r b, r c, u a', '0 / - / 0', IN_A],
    ['K8', CLUSTER, 'u a, r b, r c, u a', '1,2 / - / 1,2', IN_A],
    ['K9', CLUSTER, 'r a, r b, r, r a', '0,1,2,3 / - / 0,1,2,3', IN_A],
    ['K10', CLUSTER, 'r a b c, r b c, r b d, r c', '0,1,3 / - / 0,1,3', { nodeName: 'node1', zone: 'zc' }],
    ['K12', CLUSTER, 'r a 2, r b 1, r a 3', '1 / - / 1', IN_A],
    ['K13', CLUSTER, 'r a 1, r, r a 1', '0,1,2 / - / 0,1,2', IN_A],
    ['K13, no node hint on one', CLUSTER, 'r a 1, r b, r a 1', '0,2 / - / 0,2', IN_A],
    ['K14', CLUSTER, 'r a 2, r b 3, r a 3', '0,2 / - / 0,2', IN_A],
    ['K15', EXTERNAL, 'rL a, rL b, r a', '0,2 / 0,1 / 0,1,2', IN_A],
    ['an unready one without a hint does not count', CLUSTER, 'r a, r b, u, x', '0 / - / 0', IN_A],
    ['they do not apply to draining ones', CLUSTER, 's a, s b', '0,1 / - / 0,1', IN_A],
    ['they do not apply to local ones', INTERNAL, 'rL b, rL c', '- / 0,1 / 0,1', IN_A],
    ['a node without a name has none', CLUSTER, 'r 1, r 2', '0,1 / - / 0,1', { nodeName: '', zone: '' }],
  ])('%s', (_, service, text, expected, place) => {
    expect(shown(service, text, place)).toBe(expected);
  });

  it('that name the empty zone are not for a node without a zone (K5)', () => {
    const hinted = ['', 'za'].map((zone, i) => endpoint(`10.0.0.${i}`, { zoneHints: [zone] }));
    expect(resolve(CLUSTER, hinted, { nodeName: 'node1', zone: '' }).cluster).toEqual(hinted);
  });
});

describe('policies and readiness', () => {
  it.each([
    ['K16', INTERNAL, '', '- / - / - none'],
    ['K17', INTERNAL, 'r, r', '- / - / -'],
    ['K18', INTERNAL, 'rL, rL', '- / 0,1 / 0,1'],
    ['K19', INTERNAL, 'rL, r', '- / 0 / 0'],
    ['K20', CLUSTER, 'u, n', '- / - / - none'],
    ['K21', CLUSTER, 'r, u', '0 / - / 0'],
    ['K22', CLUSTER, 's, sL', '0,1 / - / 0,1'],
    ['K23', INTERNAL_AND_PORT, 'rL, r', '0,1 / 0 / 0,1'],
    ['K24', EXTERNAL, 'rL, r', '0,1 / 0 / 0,1'],
    ['K25', BOTH, 'rL, r', '0,1 / 0 / 0,1'],
    ['K26', BOTH, 'r, r', '0,1 / - / 0,1'],
    ['K27', BOTH, 's, s', '0,1 / - / 0,1'],
    ['K28', EXTERNAL, 'r, xL, sL, s', '0 / 2 / 0,2'],
    ['K29', port(EXTERNAL_LOCAL), 'r, rL', '0,1 / - / 0,1'],
    ['K30', INTERNAL, 'r, rL', '- / 1 / 1'],
    ['K31', CLUSTER, 'n', '- / - / - none'],
    ['K31, internal Local', INTERNAL, 'nL', '- / - / - none'],
    ['nothing', CLUSTER, '', '- / - / - none'],
    ['internal Local, here only draining ones', INTERNAL, 'r, sL', '- / 1 / 1'],
    ['internal Local, elsewhere only draining ones', INTERNAL, 's', '- / - / -'],
  ])('%s', (_, service, text, expected) => {
    expect(shown(service, text)).toBe(expected);
  });
});

describe('terminating endpoints', () => {
  const AT_VIP = (policy: string): ServicePort =>
    portOf(serviceObject('ns/web', { type: 'LoadBalancer', externalTrafficPolicy: policy }, [{ ip: '203.0.113.7' }]));
  it.each([
    ['J1', 'Local', 'rL, rL, sL, xL, r', '0,1,4 / 0,1 / 0,1,4'],
    ['J2', 'Local', 'xL, sL, sL, xL, r', '4 / 1,2 / 1,2,4'],
    ['J3', 'Local', 's', '0 / - / 0'],
    ['J4', 'Local', 'xL, x', '- / - / - none'],
    ['J5', 'Cluster', 'rL, rL, s, x, r', '0,1,4 / - / 0,1,4'],
    ['J6', 'Cluster', 'x, sL, sL, x, s', '1,2,4 / - / 1,2,4'],
    ['J7', 'Cluster', 's', '0 / - / 0'],
    ['J8', 'Cluster', 'xL, x', '- / - / - none'],
    ['J11', 'Cluster', 'sL, sL, xL, s, n', '0,1,3 / - / 0,1,3'],
    ['J12', 'Local', 'sL, sL, xL, s, r', '4 / 0,1 / 0,1,4'],
  ])('%s: external policy %s, %s', (_, policy, text, expected) => {
    expect(shown(AT_VIP(policy), text)).toBe(expected);
  });
});

describe('internal policy', () => {
  it.each([
    ['I1', CLUSTER, 'rL, r, r', '0,1,2 / - / 0,1,2'],
    ['I2', INTERNAL, 'rL, r, r', '- / 0 / 0'],
    ['I3', INTERNAL, 'rL, rL, r', '- / 0,1 / 0,1'],
    ['I4', INTERNAL, 'r, r, r', '- / - / -'],
  ])('%s', (_, service, text, expected) => {
    expect(shown(service, text)).toBe(expected);
  });
});

it('hands on the port and the times of what led to it', () => {
  expect(resolve(CLUSTER, [], IN_A, [7, 9])).toMatchObject({ port: CLUSTER, triggeredAt: [7, 9] });
});

describe('laws', () => {
  const anyEndpoint = fc.record({
    state: fc.constantFrom(...Object.values(STATES)),
    isLocal: fc.boolean(),
    zoneHints: fc.subarray(['za', 'zb']),
    nodeHints: fc.subarray(['node1', 'node2']),
  });
  // .11 sorts before .1: as text, with the port
  const list = fc
    .array(anyEndpoint, { maxLength: 12 })
    .map((all) =>
      all
        .map(({ state, ...rest }, i) => endpoint(`10.0.0.${i}`, { ...state, ...rest }))
        .sort((a, b) => (joinHostPort(a.ip, a.port) < joinHostPort(b.ip, b.port) ? -1 : 1)),
    );
  const anyPort = fc.constantFrom(CLUSTER, EXTERNAL, INTERNAL_AND_PORT, INTERNAL, BOTH, port(EXTERNAL_LOCAL));

  it('every set is a part of the endpoints, in their order, and reachable is the union', () => {
    fc.assert(
      fc.property(anyPort, list, (service, all) => {
        const { cluster, local, reachable, hasAny } = resolve(service, all, IN_A);
        for (const set of [cluster, local, reachable]) expect(set).toEqual(all.filter((one) => set.includes(one)));
        expect(reachable).toEqual(all.filter((one) => cluster.includes(one) || local.includes(one)));
        expect(local.every(({ isLocal }) => isLocal)).toBe(true);
        expect(hasAny).toBe(all.some(({ ready, serving, terminating }) => ready || (serving && terminating)));
      }),
      { numRuns: 500 },
    );
  });

  it('a set has ready endpoints only, or only draining ones, and is not empty while its policy has a usable one', () => {
    fc.assert(
      fc.property(anyPort, list, (service, all) => {
        const { cluster, local } = resolve(service, all, IN_A);
        const usable = all.filter(({ ready, serving, terminating }) => ready || (serving && terminating));
        for (const set of [cluster, local]) {
          expect(set.every((one) => usable.includes(one))).toBe(true);
          expect(new Set(set.map(({ ready }) => ready)).size).toBeLessThanOrEqual(1);
        }
        if (service !== INTERNAL) expect(cluster.length > 0).toBe(usable.length > 0);
        if (service === INTERNAL || service === BOTH) {
          expect(local.length > 0).toBe(usable.some(({ isLocal }) => isLocal));
        }
      }),
      { numRuns: 500 },
    );
  });
});
