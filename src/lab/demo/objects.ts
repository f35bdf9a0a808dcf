/** Kubernetes objects of the demo: two nodes, and dual-stack Services over the lab's pods. Pure. */
import type { IPFamily } from '../../model/address.ts';
import type { ObjectInput } from '../apiserver/store.ts';
import type { Lab } from '../network/lab.ts';
import { type HostName, LAB_NETWORKS, type NodeName } from '../network/plan.ts';

export const FAMILIES: readonly IPFamily[] = ['IPv4', 'IPv6'];
export const NODES: readonly NodeName[] = ['node1', 'node2'];

/** Service with one port; its pods listen on `targetPort`. */
export interface DemoService {
  readonly name: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly clusterIPs: Readonly<Record<IPFamily, string>>;
  readonly port: number;
  readonly nodePort: number;
  readonly targetPort: number;
}

export const WEB: DemoService = {
  name: 'web',
  protocol: 'TCP',
  clusterIPs: { IPv4: '10.96.0.80', IPv6: 'fd96::80' },
  port: 80,
  nodePort: 30_080,
  targetPort: 8080,
};

export const ECHO: DemoService = {
  name: 'echo',
  protocol: 'UDP',
  clusterIPs: { IPv4: '10.96.0.7', IPv6: 'fd96::7' },
  port: 7,
  nodePort: 30_007,
  targetPort: 7007,
};

/** Endpoint and its pod's state. A terminating one still answers, and must get no new connection. */
export interface DemoEndpoint {
  readonly on: HostName;
  readonly state: 'ready' | 'terminating';
}

export const NAMESPACE = 'demo';

export const nodeObject = (lab: Lab, name: NodeName): ObjectInput => {
  const { ipv4, ipv6 } = lab.host(name);
  const podCIDRs = [LAB_NETWORKS[name].IPv4, LAB_NETWORKS[name].IPv6];
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
    status: { addresses: [ipv4, ipv6].map((address) => ({ type: 'InternalIP', address })) },
  };
};

export const serviceObject = ({
  name,
  protocol,
  clusterIPs,
  port,
  nodePort,
  targetPort,
}: DemoService): ObjectInput => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: NAMESPACE, name },
  spec: {
    type: 'NodePort',
    clusterIP: clusterIPs.IPv4,
    clusterIPs: [clusterIPs.IPv4, clusterIPs.IPv6],
    ipFamilies: FAMILIES,
    ipFamilyPolicy: 'RequireDualStack',
    ports: [{ name: 'p', protocol, port, targetPort, nodePort }],
  },
});

/** EndpointSlices of a Service, one for each family. */
export const sliceObjects = (
  lab: Lab,
  { name, protocol, targetPort }: DemoService,
  endpoints: readonly DemoEndpoint[],
): readonly ObjectInput[] =>
  FAMILIES.map((family) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace: NAMESPACE,
      name: `${name}-${family.toLowerCase()}`,
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: family,
    ports: [{ name: 'p', protocol, port: targetPort }],
    endpoints: endpoints.map(({ on, state }) => {
      const { ipv4, ipv6, node } = lab.host(on);
      return {
        addresses: [family === 'IPv4' ? ipv4 : ipv6],
        nodeName: node,
        conditions: { ready: state === 'ready', serving: true, terminating: state === 'terminating' },
      };
    }),
  }));

/** Endpoints of these pods, all ready. */
export const allReady = (pods: readonly HostName[]): readonly DemoEndpoint[] =>
  pods.map((on) => ({ on, state: 'ready' }));
