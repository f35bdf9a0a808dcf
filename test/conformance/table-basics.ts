/** ClusterIPs and NodePorts as such, and how a node tells pods from others. */
import { from, L1, L2, LOCAL, R1, R2, type Row, toAll, WAYS_IN } from './rows.ts';

export const BASICS: readonly Row[] = [
  {
    name: 'ClusterIP, endpoints here and elsewhere',
    service: { endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', ['pod1', 'remote1']),
      from('node1', 'cluster', ['pod1+m', 'remote1+m']),
      from('outside', 'cluster', ['pod1+m', 'remote1+m']),
    ],
  },
  {
    name: 'ClusterIP, many endpoints',
    service: { endpoints: [L1, L2, R1, R2] },
    probes: [
      from('pod3', 'cluster', ['pod1', 'pod2', 'remote1', 'remote2']),
      from('outside', 'cluster', ['pod1+m', 'pod2+m', 'remote1+m', 'remote2+m']),
    ],
  },
  {
    name: 'hairpin: a pod that reaches itself sees the node',
    service: { endpoints: [L1, L2] },
    probes: [from('pod1', 'cluster', ['pod1+m', 'pod2']), from('pod2', 'cluster', ['pod1', 'pod2+m'])],
  },
  {
    name: 'ClusterIP without endpoints',
    service: { endpoints: [] },
    probes: [from('pod3', 'cluster', 'refused'), from('outside', 'cluster', 'refused')],
  },
  {
    name: 'an undefined port of a ClusterIP is left alone',
    service: { endpoints: [L1] },
    probes: [from('pod3', 'cluster, other port', 'untouched')],
  },
  {
    name: 'NodePort, endpoints here and elsewhere',
    service: { nodePort: true, endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', ['pod1', 'remote1']),
      from('pod3', 'node-port', ['pod1+m', 'remote1+m']),
      from('node1', 'node-port', ['pod1+m', 'remote1+m']),
      from('node2', 'node-port', ['pod1+m', 'remote1+m']),
      from('remote2', 'node-port', ['pod1+m', 'remote1+m']),
      from('outside', 'node-port', ['pod1+m', 'remote1+m']),
      from('outside', 'node-port at pod gateway', ['pod1+m', 'remote1+m']),
    ],
  },
  {
    name: 'NodePort without endpoints',
    service: { nodePort: true, endpoints: [] },
    probes: [
      from('pod3', 'node-port', 'refused'),
      from('outside', 'node-port', 'refused'),
      from('node2', 'node-port', 'refused'),
      from('pod3', 'cluster', 'refused'),
    ],
  },
  {
    name: 'NodePort on chosen addresses only',
    flags: { 'nodeport-addresses': '10.250.0.0/24,fd50::/64' },
    service: { nodePort: true, endpoints: [L1, R1] },
    probes: [
      from('outside', 'node-port', ['pod1+m', 'remote1+m']),
      from('node1', 'node-port', ['pod1+m', 'remote1+m']),
      from('outside', 'node-port at pod gateway', 'untouched'),
    ],
  },
  {
    name: 'masquerade all',
    flags: { 'masquerade-all': 'true' },
    service: { nodePort: true, endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', ['pod1+m', 'remote1+m']),
      from('outside', 'cluster', ['pod1+m', 'remote1+m']),
      from('outside', 'node-port', ['pod1+m', 'remote1+m']),
    ],
  },
  {
    name: 'detect local by bridge',
    flags: { 'cluster-cidr': '', 'detect-local-mode': 'BridgeInterface', 'pod-bridge-interface': 'cni0' },
    service: { endpoints: [L1, R1] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1']), from('outside', 'cluster', ['pod1+m', 'remote1+m'])],
  },
  {
    name: 'detect local by interface prefix',
    flags: { 'cluster-cidr': '', 'detect-local-mode': 'InterfaceNamePrefix', 'pod-interface-name-prefix': 'cn' },
    service: { endpoints: [L1, R1] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1']), from('outside', 'cluster', ['pod1+m', 'remote1+m'])],
  },
  {
    name: 'detect local by the node’s pod CIDR',
    flags: { 'cluster-cidr': '', 'detect-local-mode': 'NodeCIDR' },
    service: { endpoints: [L1, R1] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1']), from('outside', 'cluster', ['pod1+m', 'remote1+m'])],
  },
  {
    name: 'a Service without an EndpointSlice',
    service: { nodePort: true, endpoints: [], hasNoSlice: true },
    probes: [
      from('pod3', 'cluster', 'refused'),
      from('node1', 'cluster', 'refused'),
      from('outside', 'node-port', 'refused'),
      from('node1', 'node-port', 'refused'),
    ],
  },
  {
    name: 'a pod’s own address is left alone',
    service: { nodePort: true, endpoints: [L1] },
    probes: [from('pod3', 'pod1', ['pod1']), from('node1', 'pod1', ['pod1']), from('outside', 'pod1', ['pod1'])],
  },
  {
    name: 'NodePort at the node’s loopback address',
    service: { nodePort: true, endpoints: [L1, R1] },
    probes: [from('node1', 'node-port at loopback', 'untouched')],
  },
  {
    name: 'the node to all of its Services’ addresses',
    service: { nodePort: true, externalIP: true, vip: true, endpoints: [L1, R1] },
    probes: (['cluster', 'external', 'vip', 'node-port', 'node-port at pod gateway'] as const).map((to) =>
      from('node1', to, ['pod1+m', 'remote1+m']),
    ),
  },
  {
    name: 'pods of the other node through this node’s NodePort',
    service: { nodePort: true, endpoints: [L1, R1] },
    probes: [
      from('remote1', 'node-port', ['pod1+m', 'remote1+m']),
      from('remote2', 'node-port at pod gateway', ['pod1+m', 'remote1+m']),
    ],
  },
  {
    name: 'pods of the other node are pods: external policy Local leaves them their address',
    service: { nodePort: true, spec: LOCAL, endpoints: [L1, L2] },
    probes: [from('remote2', 'node-port', ['pod1', 'pod2']), from('node2', 'node-port', ['pod1', 'pod2'])],
  },
  {
    name: 'pods of the other node are outsiders where the node’s pod CIDR says who is local',
    flags: { 'cluster-cidr': '', 'detect-local-mode': 'NodeCIDR' },
    service: { nodePort: true, spec: LOCAL, endpoints: [L1, R1] },
    probes: [
      from('remote2', 'node-port', ['pod1']),
      from('pod3', 'node-port', ['pod1', 'remote1']),
      from('node1', 'node-port', ['pod1+m', 'remote1+m']),
    ],
  },
  {
    name: 'hairpin by every way in',
    service: { nodePort: true, externalIP: true, vip: true, endpoints: [L1] },
    probes: toAll('pod1', ['cluster', ...WAYS_IN], ['pod1+m']),
  },
  {
    name: 'hairpin by every way in under external policy Local',
    service: { nodePort: true, externalIP: true, vip: true, spec: LOCAL, endpoints: [L1, R1] },
    probes: toAll('pod1', ['cluster', ...WAYS_IN], ['pod1+m', 'remote1']),
  },
];
