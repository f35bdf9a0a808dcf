/**
 * Node context of one IP family: the Node object and the operator's options put together.
 *
 * Detect-local modes and node-port addresses have the meaning that they have in kube-proxy 1.36. Interfaces are not read
 * here, so that a dump made on another machine equals one made on the node.
 */
import {
  type Cidr,
  cidrContains,
  familyOf,
  type IPFamily,
  isLinkLocal,
  isLoopback,
  parseCIDR,
  parseIP,
} from './address.ts';
import { readArray, readMeta, readString, textAt } from './kubernetes.ts';
import type { Missing } from './missing.ts';

export type DetectLocalMode = 'ClusterCIDR' | 'NodeCIDR' | 'BridgeInterface' | 'InterfaceNamePrefix';

/** Match of packets from pods of this node (or cluster). */
export type LocalDetector =
  | { readonly by: 'source'; readonly cidr: Cidr }
  | { readonly by: 'interface'; readonly name: string }
  | { readonly by: 'interface-prefix'; readonly prefix: string };

/** Addresses on which NodePorts answer: all local ones, or these. */
export type NodePortAddresses = 'all' | readonly string[];

export interface NodeContext {
  readonly name: string;
  readonly family: IPFamily;
  readonly zone: string;
  /** The node's own address of this family, if known. */
  readonly nodeIP: string | undefined;
  /** Addresses without loopback. */
  readonly nodePortAddresses: NodePortAddresses;
  /** True where NodePorts answer on 127.0.0.1 too. */
  readonly nodePortsOnLoopback: boolean;
  /** Addresses of the node in this family, without loopback and link-local ones; empty unless `seesLocalAddresses`. */
  readonly localAddresses: ReadonlySet<string>;
  /** Networks of ClusterIPs in this family; empty unless `seesServiceCIDRs`. */
  readonly serviceCIDRs: readonly Cidr[];
  readonly localDetector: LocalDetector | undefined;
  /** Mark of one bit: packets that carry it are masqueraded. */
  readonly masqueradeMark: number;
  readonly masqueradeAll: boolean;
  /** Drop packets that conntrack calls INVALID (k/k#74839); off where nf_conntrack_tcp_be_liberal is set. */
  readonly dropInvalid: boolean;
}

/** Options of the operator that shape rules. */
export interface NodeOptions {
  readonly nodeName: string;
  /** Address of the node that overrides the Node object's; undefined when unspecified. */
  readonly bindAddress: string | undefined;
  readonly detectLocalMode: DetectLocalMode;
  readonly clusterCIDRs: readonly Cidr[];
  readonly bridgeInterface: string;
  readonly interfaceNamePrefix: string;
  /** CIDRs, or `primary` alone; empty for all local addresses. */
  readonly nodePortAddresses: readonly string[];
  /** True to have NodePorts answer on 127.0.0.1 too, where `nodePortAddresses` cover it; never on ::1. */
  readonly localhostNodePorts: boolean;
  /** True where rules depend on the node's addresses: the mode is compiled again when they change. */
  readonly seesLocalAddresses: boolean;
  /** True where rules depend on the networks of ClusterIPs. */
  readonly seesServiceCIDRs: boolean;
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  readonly dropInvalid: boolean;
}

/** Facts read from a Node object. */
export interface NodeFacts {
  readonly name: string;
  readonly zone: string;
  readonly podCIDRs: readonly Cidr[];
  /** InternalIPs first, then ExternalIPs. */
  readonly addresses: readonly string[];
}

/** IPv4 loopback address. */
export const LOOPBACK = '127.0.0.1';

const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** Reads a Node object. Throws Malformed when it cannot be one. */
export const readNode = (raw: unknown): NodeFacts => {
  const meta = readMeta(raw, 'Node');
  const { spec, status } = raw as {
    spec?: { podCIDR?: unknown; podCIDRs?: unknown } | null;
    status?: { addresses?: unknown } | null;
  };
  const listed = readArray(spec?.podCIDRs, 'spec.podCIDRs');
  const cidrs = listed.length > 0 ? listed : [spec?.podCIDR];
  const addresses = readArray(status?.addresses, 'status.addresses').map((entry, i) => {
    const { type, address } = (entry ?? {}) as { readonly type?: unknown; readonly address?: unknown };
    return { type, ip: parseIP(readString(address, `status.addresses[${i}].address`)) };
  });
  const ofType = (wanted: string): readonly string[] =>
    addresses.flatMap(({ type, ip }) => (type === wanted && ip !== undefined ? [ip] : []));
  return {
    name: meta.name,
    zone: textAt(meta.labels, ZONE_LABEL),
    podCIDRs: cidrs.flatMap((text) => (typeof text === 'string' ? (parseCIDR(text) ?? []) : [])),
    addresses: [...ofType('InternalIP'), ...ofType('ExternalIP')],
  };
};

/** Fact worth a wait at the start, though rules can be made without it; undefined for none. */
export const factsAwaited = (options: NodeOptions, facts: NodeFacts | undefined): string | undefined =>
  needsPodCIDR(options) && (facts?.podCIDRs.length ?? 0) === 0
    ? `Node ${options.nodeName} has no podCIDR yet (--detect-local-mode=NodeCIDR needs it)`
    : undefined;

const needsPodCIDR = (options: NodeOptions): boolean => options.detectLocalMode === 'NodeCIDR';
const needsAddresses = (options: NodeOptions): boolean => options.nodePortAddresses.includes('primary');

/**
 * Completes the facts of a Node that was created anew: until controllers add podCIDRs and addresses to it, those of its
 * predecessor hold for the machine.
 */
export const withFormer = (facts: NodeFacts, former: NodeFacts | undefined): NodeFacts => ({
  ...facts,
  podCIDRs: facts.podCIDRs.length === 0 ? (former?.podCIDRs ?? []) : facts.podCIDRs,
  addresses: facts.addresses.length === 0 ? (former?.addresses ?? []) : facts.addresses,
});

/** Missing facts. `read`: those of the current Node object, undefined when there is none; `facts`: those in force. */
export const missingFacts = (
  options: NodeOptions,
  read: NodeFacts | undefined,
  facts: NodeFacts | undefined,
): readonly Missing[] => {
  const { nodeName } = options;
  const kept = (values: readonly string[]): string =>
    values.length === 0 ? '' : `, the last ones stay: ${values.join(', ')}`;
  const networks = facts?.podCIDRs.map(({ text }) => text) ?? [];
  const missing: Missing[] = [];
  if (read === undefined) {
    const why = `there is no Node object of this name (--hostname-override sets another): ${WITHOUT_NODE}`;
    missing.push({ what: `Node ${nodeName}`, why });
  }
  if (needsPodCIDR(options) && (read?.podCIDRs.length ?? 0) === 0) {
    const why = `pods are not told from other callers (--detect-local-mode=NodeCIDR)${kept(networks)}`;
    missing.push({ what: `podCIDR of Node ${nodeName}`, why });
  }
  if (needsAddresses(options) && (read?.addresses.length ?? 0) === 0 && options.bindAddress === undefined) {
    const why = `NodePorts have no address (--nodeport-addresses=primary)${kept(facts?.addresses ?? [])}`;
    missing.push({ what: `addresses of Node ${nodeName}`, why });
  }
  return missing;
};

const WITHOUT_NODE = 'no zone hint is followed, and /healthz answers 503';

/**
 * Node context of one family.
 *
 * `interfaceAddresses` are the machine's addresses; in a dump, which has no machine, those of the Node object.
 */
export const nodeContext = (
  options: NodeOptions,
  facts: NodeFacts | undefined,
  family: IPFamily,
  interfaceAddresses: readonly string[],
  serviceCIDRs: readonly Cidr[] = [],
): NodeContext => {
  const nodeIP = nodeAddress(options, facts, family);
  return {
    name: options.nodeName,
    family,
    zone: facts?.zone ?? '',
    nodeIP,
    nodePortAddresses: selectNodePortAddresses(options, family, nodeIP, interfaceAddresses),
    nodePortsOnLoopback: options.localhostNodePorts && coversLoopback(options, family),
    localAddresses: new Set(
      options.seesLocalAddresses ? ownAddresses(family, interfaceAddresses).filter((ip) => !isLinkLocal(ip)) : [],
    ),
    serviceCIDRs: options.seesServiceCIDRs ? serviceCIDRs : [],
    localDetector: selectDetector(options, facts, family),
    masqueradeMark: 2 ** options.masqueradeBit,
    masqueradeAll: options.masqueradeAll,
    dropInvalid: options.dropInvalid,
  };
};

const ownAddresses = (family: IPFamily, interfaceAddresses: readonly string[]): readonly string[] =>
  [...new Set(interfaceAddresses)].filter((ip) => familyOf(ip) === family && !isLoopback(ip)).sort();

const nodeAddress = (options: NodeOptions, facts: NodeFacts | undefined, family: IPFamily): string | undefined => {
  const override = options.bindAddress;
  if (override !== undefined && familyOf(override) === family) return override;
  return facts?.addresses.find((ip) => familyOf(ip) === family);
};

const selectDetector = (
  options: NodeOptions,
  facts: NodeFacts | undefined,
  family: IPFamily,
): LocalDetector | undefined => {
  const first = (cidrs: readonly Cidr[]): LocalDetector | undefined => {
    const cidr = cidrs.find((candidate) => candidate.family === family);
    return cidr === undefined ? undefined : { by: 'source', cidr };
  };
  switch (options.detectLocalMode) {
    case 'ClusterCIDR':
      return first(options.clusterCIDRs);
    case 'NodeCIDR':
      return first(facts?.podCIDRs ?? []);
    case 'BridgeInterface':
      return { by: 'interface', name: options.bridgeInterface };
    case 'InterfaceNamePrefix':
      return { by: 'interface-prefix', prefix: options.interfaceNamePrefix };
  }
};

/**
 * Node-port addresses: all of them for a family that the list does not mention, as in kube-proxy. `primary` is stricter than
 * in kube-proxy: on a node without an address of the family NodePorts are closed, where kube-proxy opens them everywhere.
 */
const selectNodePortAddresses = (
  options: NodeOptions,
  family: IPFamily,
  nodeIP: string | undefined,
  interfaceAddresses: readonly string[],
): NodePortAddresses => {
  if (options.nodePortAddresses.includes('primary')) return nodeIP === undefined || isLoopback(nodeIP) ? [] : [nodeIP];
  const cidrs = nodePortNetworks(options, family);
  if (cidrs === 'all') return 'all';
  return ownAddresses(family, interfaceAddresses).filter((ip) => cidrs.some((cidr) => cidrContains(cidr, ip)));
};

const nodePortNetworks = ({ nodePortAddresses }: NodeOptions, family: IPFamily): 'all' | readonly Cidr[] => {
  const cidrs = nodePortAddresses.flatMap((text) => parseCIDR(text) ?? []).filter((cidr) => cidr.family === family);
  return cidrs.length === 0 || cidrs.some((cidr) => cidr.prefix === 0) ? 'all' : cidrs;
};

/** True where node-port addresses cover 127.0.0.1. Interfaces are not read, so that a dump made elsewhere is the same. */
const coversLoopback = (options: NodeOptions, family: IPFamily): boolean => {
  if (family === 'IPv6' || options.nodePortAddresses.includes('primary')) return false;
  const cidrs = nodePortNetworks(options, family);
  return cidrs === 'all' || cidrs.some((cidr) => cidrContains(cidr, LOOPBACK));
};
