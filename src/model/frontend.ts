/**
 * Frontends: the addresses and ports of one service port, and what a packet to each of them meets on this node. Traffic
 * policies, source ranges, masquerade, refuse and drop are decided here, for every backend and for all that explains them.
 * Pure.
 *
 * Connections that the node opens itself are masqueraded besides, by a rule of each backend.
 */
import { type Cidr, cidrContains } from './address.ts';
import type { Endpoint } from './endpoint.ts';
import type { Protocol } from './kubernetes.ts';
import type { NodeContext } from './node.ts';
import type { ServicePort } from './service.ts';
import type { ServiceEndpoints } from './topology.ts';

export type FrontendKind = 'cluster-ip' | 'external-ip' | 'load-balancer-ip' | 'node-port';

/** Address, protocol and port that packets are sent to. */
export interface AddressPort {
  /** Undefined for a NodePort: the node's addresses at which NodePorts answer. */
  readonly ip: string | undefined;
  readonly protocol: Protocol;
  /** 1-65535. */
  readonly port: number;
}

/** Address and port of a service port. */
export interface FrontendAddress extends AddressPort {
  readonly kind: FrontendKind;
}

/** Endpoints, at least one; `refuse` where there is none anywhere, `drop` where the policy admits none. */
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
  /** Choice for pods and for this node. */
  readonly inside: Choice;
  /** Choice for all other clients. */
  readonly outside: Choice;
  /** Clients inside and outside are told apart; else `outside` holds for both. */
  readonly isParted: boolean;
  /** Clients whose address the endpoint does not see. `outsiders`: all that the local detector does not take for pods. */
  readonly masquerade: 'always' | 'outsiders' | 'never';
  /** Undefined for a frontend that admits all clients. */
  readonly sources: Sources | undefined;
}

/** True for a choice with endpoints. */
export const isServed = (choice: Choice): choice is readonly Endpoint[] => typeof choice !== 'string';

/** Endpoints of a choice; none where calls are refused or dropped. */
export const endpointsOf = (choice: Choice): readonly Endpoint[] => (isServed(choice) ? choice : []);

/** Addresses of a service port, the ClusterIP first. Each is listed once, and guarded: a load-balancer IP is no external IP. */
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

/** Frontends of a service port on this node, in the order of frontendAddresses. */
export const frontendsOf = (service: ServiceEndpoints, node: NodeContext): readonly Frontend[] =>
  frontendAddresses(service.port).map((address) =>
    address.kind === 'cluster-ip' ? internal(address, service, node) : external(address, service, node),
  );

/** Frontend of the ClusterIP: clients outside the cluster are masqueraded, as replies have to come back through this node. */
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

/** Choice of the ClusterIP, for all clients. */
export const internalChoice = ({ port, cluster, local, hasAny }: ServiceEndpoints): Choice =>
  choose(port.internalPolicyLocal ? local : cluster, hasAny);

/** Choices of external frontends. Policy Local restricts clients outside the cluster alone, not pods and the node. */
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
