/** Services that are edited while their endpoints stay. */
import { ALL_WAYS, from, INTERNAL_LOCAL, L1, LOCAL, R1, type Row, toAll, WAYS_IN } from './rows.ts';
import { OTHER, SECOND } from './table-ports.ts';
import { SERVICE_PORT, type ServiceSpec } from './world.ts';

const PLAIN: ServiceSpec = { endpoints: [L1, R1] };
const OPEN: ServiceSpec = { ...ALL_WAYS, endpoints: [L1, R1] };
const BOTH = ['pod1', 'remote1'] as const;
const BOTH_MASQUERADED = ['pod1+m', 'remote1+m'] as const;
const ranges = (...loadBalancerSourceRanges: readonly string[]): ServiceSpec => ({
  vip: true,
  endpoints: [L1],
  spec: { loadBalancerSourceRanges },
});

export const EDITS: readonly Row[] = [
  {
    name: 'the port changes',
    service: PLAIN,
    probes: [from('pod3', 'cluster', BOTH), from('pod3', 'cluster, other port', 'untouched')],
    steps: [
      {
        name: 'to another number',
        service: { ...PLAIN, port: SERVICE_PORT + 1 },
        probes: [from('pod3', 'cluster, other port', BOTH), from('pod3', 'cluster', 'untouched')],
      },
      {
        name: 'and back',
        service: PLAIN,
        probes: [from('pod3', 'cluster', BOTH), from('pod3', 'cluster, other port', 'untouched')],
      },
    ],
  },
  {
    name: 'ports are added and removed',
    service: PLAIN,
    probes: [from('pod3', 'cluster', BOTH)],
    steps: [
      {
        name: 'two more, one of them of another protocol',
        service: { ...PLAIN, morePorts: [SECOND, OTHER] },
        probes: [
          from('pod3', 'cluster', BOTH),
          from('pod3', 'cluster, second port', ['pod1:8081', 'remote1:8081']),
          from('pod3', 'cluster, other protocol', ['pod1:8081', 'remote1:8081']),
        ],
      },
      {
        name: 'one of them less',
        service: { ...PLAIN, morePorts: [OTHER] },
        probes: [
          from('pod3', 'cluster', BOTH),
          from('pod3', 'cluster, second port', 'untouched'),
          from('pod3', 'cluster, other protocol', ['pod1:8081', 'remote1:8081']),
        ],
      },
    ],
  },
  {
    name: 'the NodePort changes',
    service: { ...PLAIN, nodePort: true },
    probes: [from('outside', 'node-port', BOTH_MASQUERADED)],
    steps: [
      {
        name: 'to another number',
        service: { ...PLAIN, nodePort: 'second node-port' },
        probes: [
          from('outside', 'second node-port', BOTH_MASQUERADED),
          from('node1', 'second node-port', BOTH_MASQUERADED),
          from('outside', 'node-port', 'untouched'),
          from('node1', 'node-port', 'untouched'),
        ],
      },
      {
        name: 'to none',
        service: PLAIN,
        probes: [from('outside', 'second node-port', 'untouched'), from('pod3', 'cluster', BOTH)],
      },
    ],
  },
  {
    name: 'the type changes',
    service: PLAIN,
    probes: [from('pod3', 'cluster', BOTH), ...toAll('outside', WAYS_IN, 'untouched')],
    steps: [
      {
        name: 'to NodePort',
        service: { ...PLAIN, nodePort: true },
        probes: [from('outside', 'node-port', BOTH_MASQUERADED), from('outside', 'vip', 'untouched')],
      },
      {
        name: 'to LoadBalancer',
        service: OPEN,
        probes: toAll('outside', WAYS_IN, BOTH_MASQUERADED),
      },
      {
        name: 'back to ClusterIP',
        service: PLAIN,
        probes: [from('pod3', 'cluster', BOTH), ...toAll('outside', WAYS_IN, 'untouched')],
      },
    ],
  },
  {
    name: 'the external policy changes',
    service: OPEN,
    probes: toAll('outside', WAYS_IN, BOTH_MASQUERADED),
    steps: [
      {
        name: 'to Local',
        service: { ...OPEN, spec: LOCAL },
        probes: [
          ...toAll('outside', WAYS_IN, ['pod1']),
          ...toAll('pod3', WAYS_IN, BOTH),
          ...toAll('node1', WAYS_IN, BOTH_MASQUERADED),
        ],
      },
      {
        name: 'while nobody is here',
        service: { ...OPEN, endpoints: [R1], spec: LOCAL },
        probes: [...toAll('outside', WAYS_IN, 'dropped'), ...toAll('pod3', WAYS_IN, ['remote1'])],
      },
      {
        name: 'back to Cluster',
        service: OPEN,
        probes: [...toAll('outside', WAYS_IN, BOTH_MASQUERADED), ...toAll('pod3', WAYS_IN, BOTH_MASQUERADED)],
      },
    ],
  },
  {
    name: 'the internal policy changes',
    service: PLAIN,
    probes: [from('pod3', 'cluster', BOTH)],
    steps: [
      {
        name: 'to Local',
        service: { ...PLAIN, spec: INTERNAL_LOCAL },
        probes: [from('pod3', 'cluster', ['pod1']), from('outside', 'cluster', ['pod1+m'])],
      },
      {
        name: 'and back',
        service: PLAIN,
        probes: [from('pod3', 'cluster', BOTH), from('outside', 'cluster', BOTH_MASQUERADED)],
      },
    ],
  },
  {
    name: 'source ranges change',
    service: { vip: true, endpoints: [L1] },
    probes: [from('outside', 'vip', ['pod1+m']), from('pod3', 'vip', ['pod1+m'])],
    steps: [
      {
        name: 'there are some',
        service: ranges('10.250.0.0/24', 'fd50::/64'),
        probes: [from('outside', 'vip', ['pod1+m']), from('node1', 'vip', ['pod1+m']), from('pod3', 'vip', 'dropped')],
      },
      {
        name: 'there are others',
        service: ranges('10.200.0.0/24', 'fd20:0:0:1::/64'),
        probes: [from('outside', 'vip', 'dropped'), from('node1', 'vip', 'dropped'), from('pod3', 'vip', ['pod1+m'])],
      },
      {
        name: 'one is added',
        service: ranges('10.200.0.0/24', 'fd20:0:0:1::/64', '10.250.0.0/29', 'fd50::/125'),
        probes: [from('outside', 'vip', 'dropped'), from('node1', 'vip', ['pod1+m']), from('pod3', 'vip', ['pod1+m'])],
      },
      {
        name: 'there are none',
        service: { vip: true, endpoints: [L1] },
        probes: [from('outside', 'vip', ['pod1+m']), from('node1', 'vip', ['pod1+m']), from('pod3', 'vip', ['pod1+m'])],
      },
    ],
  },
  {
    name: 'external IPs and VIPs change',
    service: OPEN,
    probes: toAll('outside', ['external', 'vip'], BOTH_MASQUERADED),
    steps: [
      {
        name: 'to others',
        service: { ...OPEN, externalIP: ['second external'], vip: ['second vip'] },
        probes: [
          ...toAll('outside', ['second external', 'second vip'], BOTH_MASQUERADED),
          ...toAll('outside', ['external', 'vip'], 'untouched'),
        ],
      },
      {
        name: 'a VIP becomes an external IP and the other way round',
        service: { ...OPEN, externalIP: ['second vip'], vip: ['second external'] },
        probes: toAll('outside', ['second external', 'second vip'], BOTH_MASQUERADED),
      },
      {
        name: 'the VIP is the balancer’s',
        service: { ...OPEN, externalIP: ['second vip'], vip: ['second external'], ipMode: 'Proxy' },
        probes: [from('outside', 'second external', 'untouched'), from('outside', 'second vip', BOTH_MASQUERADED)],
      },
    ],
  },
];
