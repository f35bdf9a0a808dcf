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
export const SERVICE_PORT = 80;

const NODE_OF: Readonly<Record<PodName, string>> = {
  pod1: 'node1',
  pod2: 'node1',
  pod3: 'node1',
  remote1: 'node2',
  remote2: 'node2',
};

/** ready; serving and terminating; terminating only; neither ready nor serving. */
export type State = 'ready' | 'draining' | 'terminating' | 'unready';

export interface EndpointSpec {
  readonly on: PodName;
  readonly state?: State;
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

export interface ServiceSpec {
  readonly endpoints: readonly EndpointSpec[];
  readonly nodePort?: boolean;
  readonly externalIP?: boolean;
  readonly vip?: boolean;
  /** Fields of spec besides addresses and ports. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Where a probe goes: an address of the Service, or a NodePort at one of the node's addresses. */
export type Destination =
  | 'cluster'
  | 'external'
  | 'vip'
  | 'node-port'
  | 'node-port at pod gateway'
  | 'cluster, other port';

/** A row's variant: each is one Service with addresses of its own. */
export interface Variant {
  readonly family: IPFamily;
  readonly protocol: Protocol;
  /** Distinct for each Service of a run; 1 to 250. */
  readonly number: number;
}

interface ServiceAddresses {
  readonly cluster: string;
  readonly external: string;
  readonly vip: string;
  readonly nodePort: number;
}

export const addressesOf = ({ family, number }: Variant): ServiceAddresses => ({
  cluster: family === 'IPv4' ? `10.96.1.${number}` : `fd96::1${number.toString(16).padStart(2, '0')}`,
  external: family === 'IPv4' ? `198.51.100.${number}` : `fd98::1${number.toString(16).padStart(2, '0')}`,
  vip: family === 'IPv4' ? `203.0.113.${number}` : `fd99::1${number.toString(16).padStart(2, '0')}`,
  nodePort: 30_000 + number,
});

export const destinationOf = (to: Destination, variant: Variant): { readonly host: string; readonly port: number } => {
  const { cluster, external, vip, nodePort } = addressesOf(variant);
  switch (to) {
    case 'cluster':
      return { host: cluster, port: SERVICE_PORT };
    case 'cluster, other port':
      return { host: cluster, port: SERVICE_PORT + 1 };
    case 'external':
      return { host: external, port: SERVICE_PORT };
    case 'vip':
      return { host: vip, port: SERVICE_PORT };
    case 'node-port':
      return { host: ADDRESSES.node1[variant.family], port: nodePort };
    case 'node-port at pod gateway':
      return { host: POD_GATEWAY[variant.family], port: nodePort };
  }
};

export interface KubernetesObject {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** The Service and its EndpointSlice. */
export const objectsOf = (name: string, service: ServiceSpec, variant: Variant): readonly KubernetesObject[] => [
  serviceOf(name, service, variant),
  sliceOf(name, service.endpoints, variant),
];

const serviceOf = (name: string, service: ServiceSpec, variant: Variant): KubernetesObject => {
  const { cluster, external, vip, nodePort } = addressesOf(variant);
  const type = service.vip ? 'LoadBalancer' : service.nodePort ? 'NodePort' : 'ClusterIP';
  const port = {
    name: 'p',
    protocol: variant.protocol,
    port: SERVICE_PORT,
    targetPort: TARGET_PORT,
    ...(service.nodePort ? { nodePort } : {}),
  };
  const object = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'conformance', name },
    spec: {
      type,
      clusterIP: cluster,
      clusterIPs: [cluster],
      ipFamilies: [variant.family],
      ports: [port],
      ...(service.externalIP ? { externalIPs: [external] } : {}),
      ...service.spec,
    },
    ...(service.vip ? { status: { loadBalancer: { ingress: [{ ip: vip }] } } } : {}),
  };
  return object;
};

export const sliceOf = (name: string, endpoints: readonly EndpointSpec[], variant: Variant): KubernetesObject => {
  const object = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'conformance', name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
    addressType: variant.family,
    ports: [{ name: 'p', protocol: variant.protocol, port: TARGET_PORT }],
    endpoints: endpoints.map(({ on, state = 'ready', zones, nodes }) => ({
      addresses: [ADDRESSES[on][variant.family]],
      nodeName: NODE_OF[on],
      conditions: {
        ready: state === 'ready',
        serving: state === 'ready' || state === 'draining',
        terminating: state === 'draining' || state === 'terminating',
      },
      hints: {
        ...(zones === undefined ? {} : { forZones: zones.map((zone) => ({ name: zone })) }),
        ...(nodes === undefined ? {} : { forNodes: nodes.map((node) => ({ name: node })) }),
      },
    })),
  };
  return object;
};

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
