/**
 * Endpoints of a service port that this node may use: traffic policies, topology hints, terminating fallback.
 *
 * The algorithm is kube-proxy's CategorizeEndpoints (KEP-1669, KEP-2433, KEP-3015). `trafficDistribution` is not read, as
 * the control plane turns it into hints on the slices.
 */
import { joinHostPort } from './address.ts';
import type { Endpoint } from './endpoint.ts';
import { isExternallyAccessible, type ServicePort } from './service.ts';

/** Unit of compilation: one service port in one IP family, resolved for this node. Lists are sorted by `ip:port`. */
export interface ServiceEndpoints {
  readonly port: ServicePort;
  /** Endpoints under policy Cluster, and those for pods and the node under external policy Local. */
  readonly cluster: readonly Endpoint[];
  /** Endpoints under policy Local. */
  readonly local: readonly Endpoint[];
  /** Union of `cluster` and `local`. */
  readonly reachable: readonly Endpoint[];
  /** Endpoints that serve, on any node and under any policy: a flow to one of them is not stale. */
  readonly serving: readonly Endpoint[];
  /** True where some endpoint is usable on some node: a call is then dropped for want of a local one, else refused. */
  readonly hasAny: boolean;
  /** Trigger times of the endpoints' changes, milliseconds since 1970 (for network programming latency). */
  readonly triggeredAt: readonly number[];
}

/** Name and zone of this node, for hints. */
export interface NodeTopology {
  readonly nodeName: string;
  /** Label topology.kubernetes.io/zone of the Node; empty without it. */
  readonly zone: string;
}

/** Condition of a choice; an endpoint that is not chosen fails one of them. */
export interface Condition {
  readonly is: 'local' | 'ready' | 'draining' | 'hinted-node' | 'hinted-zone';
  readonly admits: (endpoint: Endpoint) => boolean;
}

/** Reason why hints are ignored: the node has no such label, some ready endpoint has no hint, or no hint names this node. */
export type HintsIgnored = 'unlabelled' | 'incomplete' | 'elsewhere';

/** Endpoints for one kind of traffic, and the conditions that they meet, in order. */
export interface EndpointChoice {
  readonly chosen: readonly Endpoint[];
  readonly conditions: readonly Condition[];
  /** Undefined where hints of that kind are followed or not read. */
  readonly ignored: { readonly node: HintsIgnored | undefined; readonly zone: HintsIgnored | undefined };
}

const LOCAL: Condition = { is: 'local', admits: ({ isLocal }) => isLocal };
const READY: Condition = { is: 'ready', admits: ({ ready }) => ready };
const DRAINING: Condition = { is: 'draining', admits: ({ serving, terminating }) => serving && terminating };

const NOT_IGNORED: EndpointChoice['ignored'] = { node: undefined, zone: undefined };

/** Ready endpoints; without any, those that still serve while they terminate (KEP-1669). */
const available = (all: readonly Endpoint[], conditions: readonly Condition[]): EndpointChoice => {
  const ready = all.filter(READY.admits);
  const by = ready.length > 0 ? READY : DRAINING;
  const chosen = ready.length > 0 ? ready : all.filter(DRAINING.admits);
  return { chosen, conditions: [...conditions, by], ignored: NOT_IGNORED };
};

/** Endpoints whose hint names this node; hints are ignored unless every ready endpoint has one and one names this node. */
const follow = (
  ready: readonly Endpoint[],
  us: string,
  { admits, hints }: Hints,
): readonly Endpoint[] | HintsIgnored => {
  if (us === '') return 'unlabelled';
  if (!ready.every((endpoint) => hints(endpoint).length > 0)) return 'incomplete';
  const ours = ready.filter(admits);
  return ours.length > 0 ? ours : 'elsewhere';
};

interface Hints extends Condition {
  readonly hints: (endpoint: Endpoint) => readonly string[];
}

const hintsOf = (is: Condition['is'], us: string, hints: Hints['hints']): Hints => ({
  is,
  hints,
  admits: (endpoint) => hints(endpoint).includes(us),
});

/** EndpointChoice under policy Cluster: node hints go before zone hints, and hints apply to ready endpoints alone. */
export const chooseFromCluster = (all: readonly Endpoint[], { nodeName, zone }: NodeTopology): EndpointChoice => {
  const choice = available(all, []);
  if (!choice.conditions.includes(READY)) return choice;
  const { chosen: ready, conditions } = choice;
  const byNode = hintsOf('hinted-node', nodeName, ({ nodeHints }) => nodeHints);
  const forNode = follow(ready, nodeName, byNode);
  if (typeof forNode !== 'string') {
    return { chosen: forNode, conditions: [...conditions, byNode], ignored: NOT_IGNORED };
  }
  const byZone = hintsOf('hinted-zone', zone, ({ zoneHints }) => zoneHints);
  const forZone = follow(ready, zone, byZone);
  if (typeof forZone === 'string') return { ...choice, ignored: { node: forNode, zone: forZone } };
  return { chosen: forZone, conditions: [...conditions, byZone], ignored: { node: forNode, zone: undefined } };
};

/** EndpointChoice under policy Local. */
export const chooseLocal = (all: readonly Endpoint[]): EndpointChoice => available(all.filter(LOCAL.admits), [LOCAL]);

/** First condition that an endpoint does not meet; undefined for a chosen one. */
export const failedBy = ({ conditions }: EndpointChoice, endpoint: Endpoint): Condition['is'] | undefined =>
  conditions.find(({ admits }) => !admits(endpoint))?.is;

const union = (a: readonly Endpoint[], b: readonly Endpoint[]): readonly Endpoint[] => {
  const keys = new Set([...a, ...b].map((endpoint) => joinHostPort(endpoint.ip, endpoint.port)));
  const byKey = new Map([...a, ...b].map((endpoint) => [joinHostPort(endpoint.ip, endpoint.port), endpoint]));
  return [...keys].sort().flatMap((key) => byKey.get(key) ?? []);
};

/** Resolves a service port for this node: its endpoints by kind of traffic. */
export const resolve = (
  port: ServicePort,
  endpoints: readonly Endpoint[],
  place: NodeTopology,
  triggeredAt: readonly number[] = [],
): ServiceEndpoints => {
  const external = isExternallyAccessible(port);
  const usesCluster = !port.internalPolicyLocal || external;
  const usesLocal = port.internalPolicyLocal || (port.externalPolicyLocal && external);
  const cluster = usesCluster ? chooseFromCluster(endpoints, place).chosen : [];
  const local = usesLocal ? chooseLocal(endpoints).chosen : [];
  const hasAny = usesLocal
    ? endpoints.some((endpoint) => endpoint.ready || DRAINING.admits(endpoint))
    : cluster.length > 0;
  const reachable = local.length === 0 ? cluster : union(cluster, local);
  const serving = endpoints.filter((endpoint) => endpoint.serving);
  return { port, cluster, local, reachable, serving, hasAny, triggeredAt };
};
