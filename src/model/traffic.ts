/**
 * Traffic to a service port by caller and kind of address: a view of the frontends for people. Pure.
 */
import type { Endpoint } from './endpoint.ts';
import { endpointsOf, type Frontend, frontendsOf, isServed } from './frontend.ts';
import type { NodeContext } from './node.ts';
import type { ServiceEndpoints } from './topology.ts';

/** Callers: `pod`, where the local detector tells pods from others; `node`, this one; `outside`, all others. */
export type Caller = 'pod' | 'node' | 'outside';

export interface TrafficRow {
  /** `external`: NodePort, external IPs and load-balancer IPs. */
  readonly to: 'cluster-ip' | 'external';
  readonly from: Caller;
  /** Empty unless served. */
  readonly endpoints: readonly Endpoint[];
  readonly outcome: 'served' | 'refused' | 'dropped';
  /** Source address that the endpoint sees: the caller's, or this node's (masqueraded). */
  readonly seenAs: 'caller' | 'node';
}

const CALLERS: readonly Caller[] = ['pod', 'node', 'outside'];
const OUTCOMES = { refuse: 'refused', drop: 'dropped' } as const;

/** Traffic of a service port; without a local detector there is no row for pods, which count as outside. */
export const trafficOf = (service: ServiceEndpoints, node: NodeContext): readonly TrafficRow[] => {
  const callers = CALLERS.filter((caller) => caller !== 'pod' || node.localDetector !== undefined);
  // all external frontends choose the same endpoints
  const [internal, external] = frontendsOf(service, node);
  return [internal, external].flatMap((frontend) =>
    frontend === undefined ? [] : callers.map((from) => callTo(frontend, from)),
  );
};

const callTo = ({ kind, inside, outside, masquerade }: Frontend, from: Caller): TrafficRow => {
  const choice = from === 'outside' ? outside : inside;
  const isMasqueraded = masquerade === 'always' || (masquerade === 'outsiders' && from === 'outside');
  return {
    to: kind === 'cluster-ip' ? 'cluster-ip' : 'external',
    from,
    endpoints: endpointsOf(choice),
    outcome: isServed(choice) ? 'served' : OUTCOMES[choice],
    seenAs: from === 'node' || isMasqueraded ? 'node' : 'caller',
  };
};
