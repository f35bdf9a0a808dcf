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

const isUsableTerminating = (endpoint: Endpoint): boolean => endpoint.serving && endpoint.terminating;

/** Ready endpoints that hints admit. A hint is used only if every ready endpoint has one and one of them names us. */
const byTopology = (ready: readonly Endpoint[], place: Place): readonly Endpoint[] => {
  const hinted = (hints: (endpoint: Endpoint) => readonly string[], us: string): readonly Endpoint[] | undefined => {
    if (us === '' || !ready.every((endpoint) => hints(endpoint).length > 0)) return undefined;
    const ours = ready.filter((endpoint) => hints(endpoint).includes(us));
    return ours.length > 0 ? ours : undefined;
  };
  return hinted((e) => e.nodeHints, place.nodeName) ?? hinted((e) => e.zoneHints, place.zone) ?? ready;
};

/** Ready ones if there are any, else those that still serve while they terminate (KEP-1669). */
const withFallback = (
  all: readonly Endpoint[],
  admit: (ready: readonly Endpoint[]) => readonly Endpoint[],
): readonly Endpoint[] => {
  const ready = admit(all.filter((endpoint) => endpoint.ready));
  return ready.length > 0 ? ready : all.filter(isUsableTerminating);
};

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
  const cluster = usesCluster ? withFallback(endpoints, (ready) => byTopology(ready, place)) : [];
  const localOnes = endpoints.filter((endpoint) => endpoint.isLocal);
  const local = usesLocal ? withFallback(localOnes, (ready) => ready) : [];
  const hasAny = usesLocal
    ? endpoints.some((endpoint) => endpoint.ready || isUsableTerminating(endpoint))
    : cluster.length > 0;
  const reachable = local.length === 0 ? cluster : union(cluster, local);
  const serving = endpoints.filter((endpoint) => endpoint.serving);
  return { port, cluster, local, reachable, serving, hasAny, triggeredAt };
};

/** Traffic to the ClusterIP finds somebody; else it is refused, or dropped where the policy alone forbids it. */
export const hasInternalEndpoints = ({ port, hasAny, local }: ServiceEndpoints): boolean =>
  hasAny && (!port.internalPolicyLocal || local.length > 0);

/** The same of traffic from outside. */
export const hasExternalEndpoints = ({ port, hasAny, local }: ServiceEndpoints): boolean =>
  hasAny && (!port.externalPolicyLocal || local.length > 0);
