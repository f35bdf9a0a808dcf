/**
 * Frontends: the addresses and ports of one service port, and what a packet to each of them meets on this node. Traffic
 * policies, source ranges, masquerade, and whether a call is refused or dropped are decided here, for every backend and for
 * everything that explains them. Pure.
 *
 * What a node sends itself is masqueraded whatever the frontend.
 */
import { type Cidr, cidrContains } from './address.ts';
import type { Endpoint } from './endpoint.ts';
import type { Protocol } from './kubernetes.ts';
import type { NodeContext } from './node.ts';
import type { ServicePort } from './service.ts';
import type { ServiceEndpoints } from './topology.ts';

export type FrontendKind = 'cluster-ip' | 'external-ip' | 'load-balancer-ip' | 'node-port';

/** An address and port of a service port. */
export interface FrontendAddress {
  readonly kind: FrontendKind;
  /** Undefined for a NodePort: the node's addresses, as far as NodePorts answer there. */
  readonly ip: string | undefined;
  readonly protocol: Protocol;
  /** 1-65535. */
  readonly port: number;
}

/** Endpoints, at least one. Without one a call is refused (there is none anywhere) or dropped (the policy admits none). */
export type Choice = readonly Endpoint[] | 'refuse' | 'drop';

/** The clients that a load-balancer IP admits. */
export interface Sources {
  readonly ranges: readonly Cidr[];
  /**
   * Load-balancer IPs of the service port, where the ranges admit the node; empty otherwise. A packet of the node to a
   * load-balancer IP that the node has itself carries that IP as its source.
   */
  readonly own: readonly string[];
}

export interface Frontend extends FrontendAddress {
  /** For pods and for this node. */
  readonly inside: Choice;
  /** For all other clients. */
  readonly outside: Choice;
  /** Clients inside and outside are told apart; else `outside` holds for both. */
  readonly isParted: boolean;
  /** The clients whose address the endpoint does not see. `outsiders`: those that the local detector does not take for pods. */
  readonly masquerade: 'always' | 'outsiders' | 'never';
  /** Undefined: everybody may call. */
  readonly sources: Sources | undefined;
}

/** Whether a call finds an endpoint. */
export const isServed = (choice: Choice): choice is readonly Endpoint[] => typeof choice !== 'string';

export const endpointsOf = (choice: Choice): readonly Endpoint[] => (isServed(choice) ? choice : []);

/** The ClusterIP comes first. An address is listed once: as ClusterIP, else as load-balancer IP, so that ranges guard it. */
export const frontendAddresses = (port: ServicePort): readonly FrontendAddress[] => {
  const { clusterIP, externalIPs, loadBalancerVIPs, nodePort } = port;
  const vips = loadBalancerVIPs.filter((ip) => ip !== clusterIP);
  const others = externalIPs.filter((ip) => ip !== clusterIP && !vips.includes(ip));
  const at = (kind: FrontendKind, ip: string | undefined, number = port.port): FrontendAddress => ({
    kind,
    ip,
    protocol: port.name.protocol,
    port: number,
  });
  return [
    at('cluster-ip', clusterIP),
    ...others.map((ip) => at('external-ip', ip)),
    ...vips.map((ip) => at('load-balancer-ip', ip)),
    ...(nodePort === 0 ? [] : [at('node-port', undefined, nodePort)]),
  ];
};

export const frontendsOf = (service: ServiceEndpoints, node: NodeContext): readonly Frontend[] =>
  frontendAddresses(service.port).map((address) =>
    address.kind === 'cluster-ip' ? internal(address, service, node) : external(address, service, node),
  );

/** Replies to callers outside the cluster have to come back through this node. */
const internal = (address: FrontendAddress, service: ServiceEndpoints, node: NodeContext): Frontend => {
  const choice = internalChoice(service);
  const outsiders = node.localDetector === undefined ? 'never' : 'outsiders';
  return {
    ...address,
    inside: choice,
    outside: choice,
    isParted: false,
    masquerade: node.masqueradeAll ? 'always' : outsiders,
    sources: undefined,
  };
};

const external = (address: FrontendAddress, service: ServiceEndpoints, node: NodeContext): Frontend => {
  const { port } = service;
  const isLocal = port.externalPolicyLocal;
  return {
    ...address,
    ...externalChoices(service),
    isParted: isLocal,
    masquerade: isLocal ? 'never' : 'always',
    sources: address.kind === 'load-balancer-ip' ? sourcesOf(port, node) : undefined,
  };
};

/** Of the ClusterIP. */
export const internalChoice = ({ port, cluster, local, hasAny }: ServiceEndpoints): Choice =>
  choose(port.internalPolicyLocal ? local : cluster, hasAny);

/** Policy Local restricts callers outside the cluster alone: pods and the node reach all endpoints by any address. */
export const externalChoices = (service: ServiceEndpoints): Pick<Frontend, 'inside' | 'outside'> => {
  const { port, cluster, local, hasAny } = service;
  const inside = choose(cluster, hasAny);
  return { inside, outside: port.externalPolicyLocal ? choose(local, hasAny) : inside };
};

const choose = (endpoints: readonly Endpoint[], hasAny: boolean): Choice => {
  if (hasAny && endpoints.length > 0) return endpoints;
  return hasAny ? 'drop' : 'refuse';
};

const sourcesOf = (
  { sourceRanges: ranges, loadBalancerVIPs }: ServicePort,
  { nodeIP }: NodeContext,
): Sources | undefined => {
  if (ranges === undefined) return undefined;
  const admitsNode = nodeIP !== undefined && ranges.some((cidr) => cidrContains(cidr, nodeIP));
  return { ranges, own: admitsNode ? loadBalancerVIPs : [] };
};
