/** Service ports of every kind, numbered so that no two want the same address. */
import type { IPFamily } from '../../../src/model/address.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import type { Protocol } from '../../../src/model/kubernetes.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { service } from '../../dataplane/fake-backend.ts';

export interface ServiceDraft {
  readonly protocol: Protocol;
  readonly endpoints: 'none' | 'here' | 'elsewhere';
  readonly isExternal: boolean;
  /** External traffic policy Local. */
  readonly isLocal: boolean;
  readonly hasNodePort: boolean;
  /** Who may reach the load balancer's address. */
  readonly ranges: 'open' | 'closed';
}

const address = (family: IPFamily, block: number, n: number): string =>
  family === 'IPv4' ? `10.${block}.${n >> 8}.${n & 255}` : `fd00:${block}::${(n + 1).toString(16)}`;

export const serviceOf = (draft: ServiceDraft, n: number, family: IPFamily): ServiceEndpoints => {
  const { protocol, endpoints, isExternal, isLocal, hasNodePort, ranges } = draft;
  const plain = service(`s${n}`, address(family, 96, n), [address(family, 200, n)]);
  const cluster: readonly Endpoint[] =
    endpoints === 'none' ? [] : plain.cluster.map((endpoint) => ({ ...endpoint, isLocal: endpoints === 'here' }));
  const local = cluster.filter((endpoint) => endpoint.isLocal);
  return {
    ...plain,
    port: {
      ...plain.port,
      family,
      name: { ...plain.port.name, protocol },
      nodePort: hasNodePort ? 30_000 + n : 0,
      externalIPs: isExternal ? [address(family, 97, n)] : [],
      loadBalancerVIPs: isExternal ? [address(family, 98, n)] : [],
      sourceRanges: ranges === 'closed' ? [] : undefined,
      externalPolicyLocal: isLocal,
    },
    cluster,
    local,
    reachable: cluster,
    serving: cluster,
    hasAny: cluster.length > 0,
  };
};
