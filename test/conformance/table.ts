/**
 * The conformance table: who sends where, and what becomes of it. Every backend must pass it, in the packet walker and
 * with real packets. Expectations are those of kube-proxy 1.36 unless a row says otherwise.
 *
 * An expectation lists the endpoints that are reached, `+m` where the endpoint sees this node as the source instead of
 * the sender, or says `refused` or `dropped`.
 */
import type { Destination, EndpointSpec, HostName, PodName, ServiceSpec } from './world.ts';

export type Reached = PodName | `${PodName}+m`;
export type Expected = readonly Reached[] | 'refused' | 'dropped' | 'untouched';

export interface Probe {
  readonly from: HostName;
  readonly to: Destination;
  readonly expect: Expected;
}

/** Settings of the proxy, by flag name. */
export type Flags = Readonly<Record<string, string>>;

export interface Row {
  readonly name: string;
  readonly service: ServiceSpec;
  readonly probes: readonly Probe[];
  readonly flags?: Flags;
}

const L1: EndpointSpec = { on: 'pod1' };
const L2: EndpointSpec = { on: 'pod2' };
const R1: EndpointSpec = { on: 'remote1' };
const R2: EndpointSpec = { on: 'remote2' };
const draining = (endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, state: 'draining' });
const terminating = (endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, state: 'terminating' });
const unready = (endpoint: EndpointSpec): EndpointSpec => ({ ...endpoint, state: 'unready' });

const from = (host: HostName, to: Destination, expect: Expected): Probe => ({ from: host, to, expect });

const ALL_WAYS = { nodePort: true, externalIP: true, vip: true } as const;
const LOCAL = { externalTrafficPolicy: 'Local' } as const;
const INTERNAL_LOCAL = { internalTrafficPolicy: 'Local' } as const;

const BASICS: readonly Row[] = [
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
];

const POLICIES: readonly Row[] = [
  {
    name: 'external policy Cluster',
    service: { ...ALL_WAYS, endpoints: [R1, L2] },
    probes: (['external', 'vip', 'node-port'] as const).flatMap((to) => [
      from('pod3', to, ['remote1+m', 'pod2+m']),
      from('outside', to, ['remote1+m', 'pod2+m']),
      from('node1', to, ['remote1+m', 'pod2+m']),
    ]),
  },
  {
    name: 'external policy Local: the cluster’s endpoints for pods and node, this node’s for the outside',
    service: { ...ALL_WAYS, spec: LOCAL, endpoints: [R1, L2] },
    probes: [
      from('pod3', 'cluster', ['remote1', 'pod2']),
      ...(['external', 'vip', 'node-port'] as const).flatMap((to) => [
        from('pod3', to, ['remote1', 'pod2']),
        from('outside', to, ['pod2']),
        from('node1', to, ['remote1+m', 'pod2+m']),
      ]),
    ],
  },
  {
    name: 'external policy Local without a local endpoint',
    service: { ...ALL_WAYS, spec: LOCAL, endpoints: [R1] },
    probes: (['external', 'vip', 'node-port'] as const).flatMap((to) => [
      from('pod3', to, ['remote1']),
      from('outside', to, 'dropped'),
      from('node1', to, ['remote1+m']),
    ]),
  },
  {
    name: 'internal policy Local',
    service: { nodePort: true, spec: INTERNAL_LOCAL, endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', ['pod1']),
      from('node1', 'cluster', ['pod1+m']),
      from('outside', 'node-port', ['pod1+m', 'remote1+m']),
    ],
  },
  {
    name: 'internal policy Local without a local endpoint',
    service: { spec: INTERNAL_LOCAL, endpoints: [R1] },
    probes: [from('pod3', 'cluster', 'dropped')],
  },
  {
    name: 'no endpoint at all, all ways in',
    service: { ...ALL_WAYS, endpoints: [] },
    probes: (['external', 'vip', 'node-port', 'cluster'] as const).flatMap((to) => [
      from('pod3', to, 'refused'),
      from('outside', to, 'refused'),
    ]),
  },
  {
    name: 'source ranges at the VIP only',
    service: {
      ...ALL_WAYS,
      endpoints: [L1],
      spec: { loadBalancerSourceRanges: ['10.250.0.9/32', ' 10.250.0.1/32', 'fd50::9/128', 'fd50::1/128'] },
    },
    probes: [
      from('outside', 'vip', ['pod1+m']),
      from('node1', 'vip', ['pod1+m']),
      from('pod3', 'vip', 'dropped'),
      from('pod3', 'node-port', ['pod1+m']),
      from('pod3', 'external', ['pod1+m']),
    ],
  },
];

const STATES: readonly Row[] = [
  {
    name: 'ready endpoints go before draining ones',
    service: { nodePort: true, endpoints: [L1, draining(L2), terminating(R1), R2] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote2']), from('outside', 'node-port', ['pod1+m', 'remote2+m'])],
  },
  {
    name: 'draining endpoints serve when there is no other',
    service: { nodePort: true, endpoints: [draining(L1), draining(R1), terminating(L2), unready(R2)] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1']), from('outside', 'node-port', ['pod1+m', 'remote1+m'])],
  },
  {
    name: 'external policy Local falls back to local draining endpoints by itself',
    service: { nodePort: true, spec: LOCAL, endpoints: [draining(L1), draining(L2), R1] },
    probes: [from('pod3', 'cluster', ['remote1']), from('outside', 'node-port', ['pod1', 'pod2'])],
  },
  {
    name: 'nobody serves',
    service: { nodePort: true, endpoints: [terminating(L1), unready(R1)] },
    probes: [from('pod3', 'cluster', 'refused'), from('outside', 'node-port', 'refused')],
  },
  {
    name: 'zone hints, when every endpoint has one',
    service: {
      endpoints: [
        { ...L1, zones: ['za'] },
        { ...R1, zones: ['zb'] },
        { ...R2, zones: ['zb', 'za'] },
      ],
    },
    probes: [from('pod3', 'cluster', ['pod1', 'remote2'])],
  },
  {
    name: 'zone hints do not count when one endpoint has none',
    service: { endpoints: [{ ...L1, zones: ['za'] }, { ...R1, zones: ['zb'] }, R2] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1', 'remote2'])],
  },
  {
    name: 'node hints go before zone hints',
    service: {
      endpoints: [
        { ...L1, zones: ['za'], nodes: ['node2'] },
        { ...L2, zones: ['zb'], nodes: ['node1'] },
        { ...R1, zones: ['za'], nodes: ['node2'] },
      ],
    },
    probes: [from('pod3', 'cluster', ['pod2'])],
  },
];

export const ROWS: readonly Row[] = [...BASICS, ...POLICIES, ...STATES];

/** Flags of rows that name none. */
export const DEFAULT_FLAGS: Flags = { 'cluster-cidr': '10.200.0.0/16,fd20::/48' };
