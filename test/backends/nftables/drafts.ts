/** Services of all kinds by chance; some want the same address and port. */
import fc from 'fast-check';
import { type IPFamily, parseCIDR } from '../../../src/model/address.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { tcp } from '../ipvs/world.ts';

export interface Draft {
  /** Endpoints by number; the even ones are on this node. */
  readonly endpoints: readonly number[];
  readonly affinitySeconds: number;
  readonly isLocalOutside: boolean;
  readonly isLocalInside: boolean;
  readonly hasNodePort: boolean;
  readonly hasVIP: boolean;
  readonly ranges: 'none' | 'some' | 'nobody';
  readonly number: number;
}

export const draft: fc.Arbitrary<Draft> = fc.record({
  endpoints: fc.uniqueArray(fc.nat({ max: 9 }), { maxLength: 7 }),
  affinitySeconds: fc.constantFrom(0, 0, 60, 600),
  isLocalOutside: fc.boolean(),
  isLocalInside: fc.boolean(),
  hasNodePort: fc.boolean(),
  hasVIP: fc.boolean(),
  ranges: fc.constantFrom('none', 'some', 'nobody'),
  number: fc.constantFrom(0, 0, 0, 1),
});

const RANGES = { IPv4: ['192.0.2.0/24', '192.0.0.0/16', '10.250.0.1/32'], IPv6: ['fd50::/64', 'fd00:9::/32'] } as const;
const at = (family: IPFamily, block: number, n: number): string =>
  family === 'IPv4' ? `10.${block}.0.${n + 1}` : `fd00:${block}::${(n + 1).toString(16)}`;

const pod = (family: IPFamily, n: number): Endpoint => ({
  ip: at(family, 200, n),
  port: 8080,
  isLocal: n % 2 === 0,
  ready: true,
  serving: true,
  terminating: false,
  zoneHints: [],
  nodeHints: [],
});

/** The Service of this number; those of 3 and 4 want the same VIP and NodePort. */
export const serviceOf = (n: number, family: IPFamily, wanted: Draft): ServiceEndpoints => {
  const cluster = wanted.endpoints.map((one) => pod(family, one));
  const local = cluster.filter(({ isLocal }) => isLocal);
  const plain = tcp(`s${n}`, at(family, 96, n), []);
  const contested = Math.min(n, 3);
  const ranges = RANGES[family].flatMap((text) => parseCIDR(text) ?? []);
  return {
    ...plain,
    port: {
      ...plain.port,
      family,
      createdAt: n,
      port: 80 + wanted.number,
      nodePort: wanted.hasNodePort ? 30_000 + contested : 0,
      loadBalancerVIPs: wanted.hasVIP ? [at(family, 98, contested)] : [],
      externalIPs: wanted.hasVIP ? [at(family, 97, n)] : [],
      sourceRanges: wanted.ranges === 'none' ? undefined : wanted.ranges === 'some' ? ranges : [],
      affinitySeconds: wanted.affinitySeconds,
      internalPolicyLocal: wanted.isLocalInside,
      externalPolicyLocal: wanted.isLocalOutside,
    },
    cluster,
    local,
    reachable: cluster,
    hasAny: cluster.length > 0,
  };
};
