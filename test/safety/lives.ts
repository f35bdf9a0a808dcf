/** Random lives of a node for the safety law: what happens to the engine and to the kernel, one thing after the other. */
import fc from 'fast-check';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { ServicePort } from '../../src/model/service.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import type { Disturbance } from './kernel.ts';

/** What the kernel may begin to refuse: endpoints, an address, a port. */
export const EVIL = ['10.200.0.3', '10.96.0.2', '30081'] as const;

export type Event =
  /** Services change; a `undefined` is gone. Not waited for. */
  | { readonly op: 'sync'; readonly services: readonly (readonly [name: string, service: Draft | undefined])[] }
  | { readonly op: 'node'; readonly zone: string }
  | { readonly op: 'audit' }
  | { readonly op: 'edit'; readonly pick: number; readonly how: 'delete' | 'alter' | 'add' }
  | { readonly op: 'disturb'; readonly by: Disturbance }
  | { readonly op: 'evil'; readonly text: string | undefined }
  | { readonly op: 'wait'; readonly ms: number }
  | { readonly op: 'restart' };

export interface Draft {
  readonly last: number;
  readonly endpoints: readonly number[];
  readonly nodePort: number;
  readonly vip: string | undefined;
  readonly affinitySeconds: number;
  readonly isLocal: boolean;
  readonly createdAt: number;
}

export const NAMES = ['a', 'b', 'c', 'd'] as const;

const draft: fc.Arbitrary<Draft> = fc.record({
  last: fc.constantFrom(1, 2, 3, 4, 5),
  endpoints: fc.subarray([1, 2, 3, 4]),
  nodePort: fc.constantFrom(0, 0, 30_080, 30_081),
  vip: fc.constantFrom(undefined, undefined, '203.0.113.1', '203.0.113.2'),
  affinitySeconds: fc.constantFrom(0, 0, 0, 60),
  isLocal: fc.constantFrom(false, false, true),
  createdAt: fc.constantFrom(1, 2, 3),
});

const disturbance: fc.Arbitrary<Disturbance> = fc.oneof(
  fc.record({ at: fc.constant('read' as const), how: fc.constantFrom('fails', 'torn'), pick: fc.nat(2) }),
  fc.record({
    at: fc.constant('apply' as const),
    how: fc.constantFrom('before', 'after', 'half', 'refused'),
    pick: fc.nat(2),
  }),
) as fc.Arbitrary<Disturbance>;

const sync = fc.record({
  op: fc.constant('sync' as const),
  services: fc.uniqueArray(fc.tuple(fc.constantFrom(...NAMES), fc.option(draft, { nil: undefined, freq: 4 })), {
    selector: ([name]) => name,
    minLength: 1,
    maxLength: 3,
  }),
});

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: sync },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('node' as const), zone: fc.constantFrom('za', 'zb') }) },
  { weight: 3, arbitrary: fc.constant({ op: 'audit' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('edit' as const),
      pick: fc.nat(1_000),
      how: fc.constantFrom('delete', 'delete', 'alter', 'add'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('disturb' as const), by: disturbance }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('evil' as const),
      text: fc.option(fc.constantFrom(...EVIL), { nil: undefined }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.constantFrom(0, 1_000, 60_000) }) },
  { weight: 1, arbitrary: fc.constant({ op: 'restart' as const }) },
) as fc.Arbitrary<Event>;

export const lives: fc.Arbitrary<readonly Event[]> = fc.array(event, { minLength: 3, maxLength: 14 });

const endpoint = (last: number): Endpoint => ({
  ip: `10.200.0.${last}`,
  port: 8080,
  isLocal: last % 2 === 0,
  ready: true,
  serving: true,
  terminating: false,
  zoneHints: [],
  nodeHints: [],
});

export const serviceOf = (name: string, one: Draft): ServiceEndpoints => {
  const port: ServicePort = {
    name: { namespace: 'ns', name, port: 'p', protocol: 'TCP' },
    family: 'IPv4',
    clusterIP: `10.96.0.${one.last}`,
    port: 80,
    nodePort: one.nodePort,
    externalIPs: [],
    loadBalancerVIPs: one.vip === undefined ? [] : [one.vip],
    sourceRanges: undefined,
    affinitySeconds: one.affinitySeconds,
    internalPolicyLocal: false,
    externalPolicyLocal: one.isLocal,
    healthCheckNodePort: 0,
    scheduler: undefined,
    createdAt: one.createdAt,
  };
  const cluster = one.endpoints.map(endpoint);
  const local = one.isLocal ? cluster.filter(({ isLocal }) => isLocal) : [];
  return {
    port,
    cluster,
    local,
    reachable: cluster,
    serving: cluster,
    hasAny: cluster.length > 0,
    triggeredAt: [],
  };
};
