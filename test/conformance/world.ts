/**
 * The world of the conformance table: who is where, with which address, and how a row of the table becomes objects.
 * The addresses are those of the lab, so that the same row runs in the packet walker and with real packets.
 */
import type { IPFamily } from '../../src/model/address.ts';
import type { Protocol } from '../../src/model/kubernetes.ts';

export type PodName = 'pod1' | 'pod2' | 'pod3' | 'remote1' | 'remote2';
export type HostName = PodName | 'node1' | 'node2' | 'outside';

export const ADDRESSES: Readonly<Record<HostName, Readonly<Record<IPFamily, string>>>> = {
  node1: { IPv4: '10.250.0.1', IPv6: 'fd50::1' },
  node2: { IPv4: '10.250.0.2', IPv6: 'fd50::2' },
  outside: { IPv4: '10.250.0.9', IPv6: 'fd50::9' },
  pod1: { IPv4: '10.200.0.11', IPv6: 'fd20:0:0:1::11' },
  pod2: { IPv4: '10.200.0.12', IPv6: 'fd20:0:0:1::12' },
  pod3: { IPv4: '10.200.0.13', IPv6: 'fd20:0:0:1::13' },
  remote1: { IPv4: '10.200.1.21', IPv6: 'fd20:0:0:2::21' },
  remote2: { IPv4: '10.200.1.22', IPv6: 'fd20:0:0:2::22' },
};

/** node1's own end of its pod network. */
export const POD_GATEWAY: Readonly<Record<IPFamily, string>> = { IPv4: '10.200.0.1', IPv6: 'fd20:0:0:1::1' };
export const CLUSTER_CIDRS = '10.200.0.0/16,fd20::/48';
export const TARGET_PORT = 8080;
export const SECOND_TARGET_PORT = 8081;
export const SERVICE_PORT = 80;
export const SECOND_SERVICE_PORT = 443;

const NODE_OF: Readonly<Record<PodName, string>> = {
  pod1: 'node1',
  pod2: 'node1',
  pod3: 'node1',
  remote1: 'node2',
  remote2: 'node2',
};

/**
 * Ready; serving and terminating; terminating only; neither ready nor serving; ready although not serving; ready as nothing
 * else is said.
 */
export type State = 'ready' | 'draining' | 'terminating' | 'unready' | 'published' | 'unknown';

const CONDITIONS: Readonly<Record<State, Readonly<Record<string, boolean>>>> = {
  ready: { ready: true, serving: true, terminating: false },
  draining: { ready: false, serving: true, terminating: true },
  terminating: { ready: false, serving: false, terminating: true },
  unready: { ready: false, serving: false, terminating: false },
  published: { ready: true, serving: false, terminating: false },
  unknown: {},
};

export interface EndpointSpec {
  readonly on: PodName;
  readonly state?: State;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
  /** Which slice of the Service it is in; `1` unless said. */
  readonly slice?: string;
  /** Where it listens, the same in all of a slice. */
  readonly port?: typeof SECOND_TARGET_PORT;
}

/** A port besides the first one. */
export interface PortSpec {
  readonly name: string;
  /** Absent: the variant's. */
  readonly protocol?: 'other';
  readonly port: number;
  readonly target: number;
  readonly nodePort?: NodePortName;
}

/** Addresses by name, so that two Services of a row can want the same one. */
export type AddressName = 'node1' | 'cluster' | 'rival cluster' | 'external' | 'second external' | 'vip' | 'second vip';
export type NodePortName = 'node-port' | 'second node-port';

export interface ServiceSpec {
  readonly endpoints: readonly EndpointSpec[];
  readonly cluster?: AddressName;
  /** A number of its own, or that of a NodePort. */
  readonly port?: number | NodePortName;
  readonly nodePort?: boolean | NodePortName;
  readonly externalIP?: boolean | readonly AddressName[];
  readonly vip?: boolean | readonly AddressName[];
  readonly ipMode?: 'VIP' | 'Proxy';
  readonly morePorts?: readonly PortSpec[];
  readonly labels?: Readonly<Record<string, string>>;
  /** Of two that want the same, the older one wins. */
  readonly age?: 'older' | 'younger';
  /** Addresses as people write them who align columns. */
  readonly hasLeadingZeros?: boolean;
  /** There is no EndpointSlice at all; else there is at least an empty one. */
  readonly hasNoSlice?: boolean;
  /** Ports that a slice has; all unless said. */
  readonly portsOfSlices?: Readonly<Record<string, readonly string[]>>;
  /** Source ranges that say nothing of the row's family. */
  readonly hasRangesOfOtherFamily?: boolean;
  /** Fields of spec besides addresses and ports. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Where a probe goes: an address of the Service, a NodePort at one of the node's addresses, or a pod itself. */
export type Destination =
  | AddressName
  | NodePortName
  | 'node-port at pod gateway'
  | 'node-port at loopback'
  | 'node-port, other protocol'
  | 'cluster, other port'
  | 'cluster, second port'
  | 'cluster, other protocol'
  | 'external, second port'
  | 'vip, second port'
  | 'pod1';

/** A row's variant: each is one Service with addresses of its own. */
export interface Variant {
  readonly family: IPFamily;
  readonly protocol: Protocol;
  /** Distinct for each row of a run; 1 to 2,700. */
  readonly number: number;
}

const OTHER_PROTOCOL = { TCP: 'UDP', UDP: 'TCP', SCTP: 'UDP' } as const;

/** IPv4 network, IPv6 network, and how far from its beginning. */
const ADDRESS_PLAN: Readonly<Record<Exclude<AddressName, 'node1'>, readonly [string, string, number]>> = {
  cluster: ['10.96', 'fd96::', 1],
  'rival cluster': ['10.96', 'fd96::', 65],
  external: ['198.18', 'fd98::', 1],
  'second external': ['198.18', 'fd98::', 65],
  vip: ['198.19', 'fd99::', 1],
  'second vip': ['198.19', 'fd99::', 65],
};

export const FIRST_NODE_PORT: Readonly<Record<NodePortName, number>> = {
  'node-port': 30_000,
  'second node-port': 20_000,
};

export const addressOf = (name: AddressName, { family, number }: Variant): string => {
  if (name === 'node1') return ADDRESSES.node1[family];
  const [ipv4, ipv6, offset] = ADDRESS_PLAN[name];
  const at = offset * 256 + number;
  return family === 'IPv4' ? `${ipv4}.${at >> 8}.${at & 255}` : ipv6 + at.toString(16);
};

export const nodePortOf = (name: NodePortName, { number }: Variant): number => FIRST_NODE_PORT[name] + number;

interface ServiceAddresses {
  readonly cluster: string;
  readonly external: string;
  readonly vip: string;
  readonly nodePort: number;
}

export const addressesOf = (variant: Variant): ServiceAddresses => ({
  cluster: addressOf('cluster', variant),
  external: addressOf('external', variant),
  vip: addressOf('vip', variant),
  nodePort: nodePortOf('node-port', variant),
});

const LOOPBACK: Readonly<Record<IPFamily, string>> = { IPv4: '127.0.0.1', IPv6: '::1' };

export const destinationOf = (to: Destination, variant: Variant): { readonly host: string; readonly port: number } => {
  const { family } = variant;
  switch (to) {
    case 'cluster, other port':
      return { host: addressOf('cluster', variant), port: SERVICE_PORT + 1 };
    case 'cluster, second port':
      return { host: addressOf('cluster', variant), port: SECOND_SERVICE_PORT };
    case 'cluster, other protocol':
      return { host: addressOf('cluster', variant), port: SERVICE_PORT };
    case 'external, second port':
      return { host: addressOf('external', variant), port: SECOND_SERVICE_PORT };
    case 'vip, second port':
      return { host: addressOf('vip', variant), port: SECOND_SERVICE_PORT };
    case 'node-port':
    case 'second node-port':
      return { host: ADDRESSES.node1[family], port: nodePortOf(to, variant) };
    case 'node-port, other protocol':
      return { host: ADDRESSES.node1[family], port: nodePortOf('node-port', variant) };
    case 'node-port at pod gateway':
      return { host: POD_GATEWAY[family], port: nodePortOf('node-port', variant) };
    case 'node-port at loopback':
      return { host: LOOPBACK[family], port: nodePortOf('node-port', variant) };
    case 'pod1':
      return { host: ADDRESSES.pod1[family], port: TARGET_PORT };
    default:
      return { host: addressOf(to, variant), port: SERVICE_PORT };
  }
};

/** The protocol that a probe to there speaks. */
export const protocolTo = (to: Destination, { protocol }: Variant): Protocol =>
  to.endsWith(', other protocol') ? OTHER_PROTOCOL[protocol] : protocol;

export interface KubernetesObject {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** The Service and its EndpointSlices. */
export const objectsOf = (name: string, service: ServiceSpec, variant: Variant): readonly KubernetesObject[] => [
  serviceOf(name, service, variant),
  ...slicesOf(name, service, variant),
];

/** `010.096.001.007`, `fd96:0:0:0:0:0:0:0107`. */
const withLeadingZeros = (ip: string): string => {
  if (!ip.includes(':')) return ip.replace(/\d+/g, (digits) => digits.padStart(3, '0'));
  const [head = '', tail = ''] = ip.split('::');
  return [head, ...Array.from({ length: 6 }, () => '0'), tail.padStart(4, '0')].join(':');
};

const addressNames = (
  wanted: boolean | readonly AddressName[] | undefined,
  one: AddressName,
): readonly AddressName[] => (typeof wanted === 'object' ? wanted : wanted ? [one] : []);

const RANGES_OF_OTHER_FAMILY = { IPv4: ['fd50::/64', 'fd20::/48'], IPv6: ['10.250.0.0/24', '10.200.0.0/16'] } as const;

const BIRTHDAYS = { older: '2026-01-01T00:00:00Z', younger: '2026-02-02T00:00:00Z' } as const;

const portNumber = (port: ServiceSpec['port'], variant: Variant): number =>
  typeof port === 'string' ? nodePortOf(port, variant) : (port ?? SERVICE_PORT);

const portsOf = (service: ServiceSpec, variant: Variant): readonly Record<string, unknown>[] => {
  const { nodePort, morePorts = [] } = service;
  const first = nodePort === true ? 'node-port' : nodePort || undefined;
  const ports = [
    { name: 'p', port: portNumber(service.port, variant), target: TARGET_PORT, nodePort: first, protocol: undefined },
    ...morePorts,
  ];
  return ports.map(({ name, port, target, protocol, nodePort: wanted }) => ({
    name,
    protocol: protocol === undefined ? variant.protocol : OTHER_PROTOCOL[variant.protocol],
    port,
    targetPort: target,
    ...(wanted === undefined ? {} : { nodePort: nodePortOf(wanted, variant) }),
  }));
};

const serviceOf = (name: string, service: ServiceSpec, variant: Variant): KubernetesObject => {
  const written = (address: AddressName): string => {
    const ip = addressOf(address, variant);
    return service.hasLeadingZeros ? withLeadingZeros(ip) : ip;
  };
  const cluster = written(service.cluster ?? 'cluster');
  const externalIPs = addressNames(service.externalIP, 'external').map(written);
  const vips = addressNames(service.vip, 'vip').map(written);
  const ipMode = service.ipMode === undefined ? {} : { ipMode: service.ipMode };
  const object = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace: 'conformance',
      name,
      ...(service.labels === undefined ? {} : { labels: service.labels }),
      ...(service.age === undefined ? {} : { creationTimestamp: BIRTHDAYS[service.age] }),
    },
    spec: {
      type: vips.length > 0 ? 'LoadBalancer' : service.nodePort ? 'NodePort' : 'ClusterIP',
      clusterIP: cluster,
      clusterIPs: [cluster],
      ipFamilies: [variant.family],
      ports: portsOf(service, variant),
      ...(externalIPs.length > 0 ? { externalIPs } : {}),
      ...(service.hasRangesOfOtherFamily ? { loadBalancerSourceRanges: RANGES_OF_OTHER_FAMILY[variant.family] } : {}),
      ...service.spec,
    },
    ...(vips.length > 0 ? { status: { loadBalancer: { ingress: vips.map((ip) => ({ ip, ...ipMode })) } } } : {}),
  };
  return object;
};

const slicesOf = (name: string, service: ServiceSpec, variant: Variant): readonly KubernetesObject[] => {
  if (service.hasNoSlice) return [];
  const ids = [...new Set(service.endpoints.map(({ slice = '1' }) => slice))];
  return (ids.length > 0 ? ids : ['1']).map((id) => {
    const endpoints = service.endpoints.filter(({ slice = '1' }) => slice === id);
    const first = { name: 'p', protocol: undefined, target: endpoints[0]?.port ?? TARGET_PORT };
    const ports = [first, ...(service.morePorts ?? [])]
      .filter((port) => service.portsOfSlices?.[id]?.includes(port.name) ?? true)
      .map(({ name: portName, protocol, target }) => ({
        name: portName,
        protocol: protocol === undefined ? variant.protocol : OTHER_PROTOCOL[variant.protocol],
        port: target,
      }));
    return { ...sliceOf(name, endpoints, variant, id), ports };
  });
};

export const sliceOf = (
  name: string,
  endpoints: readonly EndpointSpec[],
  variant: Variant,
  id = '1',
): KubernetesObject => {
  const object = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'conformance', name: `${name}-${id}`, labels: { 'kubernetes.io/service-name': name } },
    addressType: variant.family,
    ports: [{ name: 'p', protocol: variant.protocol, port: TARGET_PORT }],
    endpoints: endpoints.map(({ on, state = 'ready', zones, nodes }) => ({
      addresses: [ADDRESSES[on][variant.family]],
      nodeName: NODE_OF[on],
      conditions: CONDITIONS[state],
      hints: {
        ...(zones === undefined ? {} : { forZones: zones.map((zone) => ({ name: zone })) }),
        ...(nodes === undefined ? {} : { forNodes: nodes.map((node) => ({ name: node })) }),
      },
    })),
  };
  return object;
};

/** node1 as the API server knows it; a zone that is `undefined` is no label at all. */
export const nodeIn = (zone: string | undefined): KubernetesObject => ({
  ...NODE_OBJECT,
  metadata: { name: 'node1', labels: zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone } },
});

export const NODE_OBJECT: KubernetesObject = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node1', labels: { 'topology.kubernetes.io/zone': 'za' } },
  spec: { podCIDR: '10.200.0.0/24', podCIDRs: ['10.200.0.0/24', 'fd20:0:0:1::/64'] },
  status: {
    addresses: [
      { type: 'InternalIP', address: '10.250.0.1' },
      { type: 'InternalIP', address: 'fd50::1' },
    ],
  },
};
