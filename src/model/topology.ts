/**
 * Which endpoints of a service port this node may use: traffic policies, topology hints, terminating fallback.
 *
 * The algorithm is kube-proxy's CategorizeEndpoints (KEP-1669, KEP-2433, KEP-3015). `trafficDistribution` is not read
 * here: the control plane turns it into hints on the slices.
 */
import { joinHostPort } from './address.ts';
import type { Endpoint } from './endpoint.ts';
import { isExternallyAccessible, type ServicePort } from './service.ts';

/** THE unit of compilation: one service port in one IP family, resolved for this node. Lists are sorted by `ip:port`. */
export interface ServiceEndpoints {
  readonly port: ServicePort;
  /** For traffic under policy Cluster; also where pods and the node go under external policy Local. */
  readonly cluster: readonly Endpoint[];
  /** For traffic under policy Local. */
  readonly local: readonly Endpoint[];
  /** The union of both. */
  readonly reachable: readonly Endpoint[];
  /** All that serve, on any node and whatever the policies: a flow that leads to one of them is of use. */
  readonly serving: readonly Endpoint[];
  /** Some endpoint is usable somewhere: tells "dropped, none is local" from "refused, there is none". */
  readonly hasAny: boolean;
  /** When the endpoints' changes were triggered, in milliseconds since 1970 (for network programming latency). */
  readonly triggeredAt: readonly number[];
}

/** Where we are, as far as hints are concerned. */
export interface Place {
  readonly nodeName: string;
  /** Label topology.kubernetes.io/zone of our Node; empty when it has none. */
  readonly zone: string;
}

/** What endpoints must be to be chosen. Whoever is left out fails one of these. */
export interface Condition {
  readonly is: 'local' | 'ready' | 'draining' | 'hinted-node' | 'hinted-zone';
  readonly admits: (endpoint: Endpoint) => boolean;
}

/** Why hints count for nothing: the node has no such label, some ready endpoint has no hint, or none names us. */
export type HintsIgnored = 'unlabelled' | 'incomplete' | 'elsewhere';

/** Endpoints for one kind of traffic, and what they were chosen by, in this order. */
export interface Choice {
  readonly chosen: readonly Endpoint[];
  readonly conditions: readonly Condition[];
  /** Undefined where hints of that kind are followed, or not looked at. */
  readonly ignored: { readonly node: HintsIgnored | undefined; readonly zone: HintsIgnored | undefined };
}

const LOCAL: Condition = { is: 'local', admits: ({ isLocal }) => isLocal };
const READY: Condition = { is: 'ready', admits: ({ ready }) => ready };
const DRAINING: Condition = { is: 'draining', admits: ({ serving, terminating }) => serving && terminating };

const NOT_IGNORED: Choice['ignored'] = { node: undefined, zone: undefined };

/** Of those who meet the conditions the ready ones; if there are none, those that still serve while they terminate (KEP-1669). */
const available = (all: readonly Endpoint[], conditions: readonly Condition[]): Choice => {
  const ready = all.filter(READY.admits);
  const by = ready.length > 0 ? READY : DRAINING;
  const chosen = ready.length > 0 ? ready : all.filter(DRAINING.admits);
  return { chosen, conditions: [...conditions, by], ignored: NOT_IGNORED };
};

/** A hint is used only if every ready endpoint has one and one of them names us. */
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

/** For traffic under policy Cluster: hints of nodes count before those of zones, and for ready endpoints alone. */
export const chooseFromCluster = (all: readonly Endpoint[], { nodeName, zone }: Place): Choice => {
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

/** For traffic under policy Local. */
export const chooseLocal = (all: readonly Endpoint[]): Choice => available(all.filter(LOCAL.admits), [LOCAL]);

/** The first condition that an endpoint does not meet; undefined for one that is chosen. */
export const failedBy = ({ conditions }: Choice, endpoint: Endpoint): Condition['is'] | undefined =>
  conditions.find(({ admits }) => !admits(endpoint))?.is;

const union = (a: readonly Endpoint[], b: readonly Endpoint[]): readonly Endpoint[] => {
  const keys = new Set([...a, ...b].map((endpoint) => joinHostPort(endpoint.ip, endpoint.port)));
  const byKey = new Map([...a, ...b].map((endpoint) => [joinHostPort(endpoint.ip, endpoint.port), endpoint]));
  return [...keys].sort().flatMap((key) => byKey.get(key) ?? []);
};

/** Sorts the endpoints of a service port into what this node may use for which traffic. */
export const resolve = (
  port: ServicePort,
  endpoints: readonly Endpoint[],
  place: Place,
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
