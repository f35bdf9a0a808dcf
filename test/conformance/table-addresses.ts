/** Addresses of Services: external IPs, load-balancer IPs and who may call them; and Services that are none of ours. */
import { ALL_WAYS, from, L1, L2, LOCAL, R1, type Row, toAll, WAYS_IN } from './rows.ts';
import { SECOND } from './table-ports.ts';

const OUTSIDE_ONLY = { loadBalancerSourceRanges: ['10.250.0.9/32', 'fd50::9/128'] };
const NODE_ONLY = { loadBalancerSourceRanges: ['10.250.0.1/32', 'fd50::1/128'] };
const TWO_VIPS = ['vip', 'second vip'] as const;

const RANGES: readonly Row[] = [
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
      from('pod3', 'cluster', ['pod1']),
      from('pod3', 'node-port', ['pod1+m']),
      from('node2', 'node-port', ['pod1+m']),
      from('pod3', 'external', ['pod1+m']),
    ],
  },
  {
    name: 'source ranges with blanks, at two VIPs',
    service: {
      vip: TWO_VIPS,
      endpoints: [L1, R1],
      spec: { loadBalancerSourceRanges: [' 10.250.0.9/32', '10.250.0.1/32 ', '\tfd50::9/128', ' fd50::1/128 '] },
    },
    probes: [
      ...toAll('outside', TWO_VIPS, ['pod1+m', 'remote1+m']),
      ...toAll('node1', TWO_VIPS, ['pod1+m', 'remote1+m']),
      ...toAll('pod3', TWO_VIPS, 'dropped'),
    ],
  },
  {
    name: 'source ranges that hold each other and overlap',
    service: {
      vip: true,
      endpoints: [L1],
      spec: {
        loadBalancerSourceRanges: [
          ...['10.250.0.0/24', '10.250.0.8/29', '10.250.0.9/32', '10.250.0.0/24', '10.200.0.13/32', '10.200.0.12/31'],
          ...['fd50::/64', 'fd50::8/125', 'fd50::9/128', 'fd50::/64', 'fd20:0:0:1::13/128', 'fd20:0:0:1::12/127'],
        ],
      },
    },
    probes: [
      from('outside', 'vip', ['pod1+m']),
      from('node1', 'vip', ['pod1+m']),
      from('pod3', 'vip', ['pod1+m']),
      from('pod2', 'vip', ['pod1+m']),
      from('pod1', 'vip', 'dropped'),
    ],
  },
  {
    // kube-proxy leaves this family open
    name: 'source ranges of the other family only close this one',
    service: { ...ALL_WAYS, hasRangesOfOtherFamily: true, endpoints: [L1] },
    probes: [
      from('outside', 'vip', 'dropped'),
      from('pod3', 'vip', 'dropped'),
      from('node1', 'vip', 'dropped'),
      from('outside', 'external', ['pod1+m']),
      from('outside', 'node-port', ['pod1+m']),
    ],
  },
  {
    // kube-proxy leaves it open
    name: 'source ranges that cannot be read close the VIP',
    service: { ...ALL_WAYS, endpoints: [L1], spec: { loadBalancerSourceRanges: ['10.250.0.9', 'everybody', ''] } },
    probes: [
      from('outside', 'vip', 'dropped'),
      from('node1', 'vip', 'dropped'),
      from('outside', 'external', ['pod1+m']),
      from('outside', 'node-port', ['pod1+m']),
    ],
  },
  {
    name: 'source ranges with the node alone in them',
    service: { vip: true, endpoints: [L1, R1], spec: NODE_ONLY },
    probes: [
      from('node1', 'vip', ['pod1+m', 'remote1+m']),
      from('outside', 'vip', 'dropped'),
      from('pod3', 'vip', 'dropped'),
      from('pod1', 'vip', 'dropped'),
    ],
  },
  {
    name: 'source ranges without the node',
    service: { vip: true, endpoints: [L1, R1], spec: OUTSIDE_ONLY },
    probes: [from('outside', 'vip', ['pod1+m', 'remote1+m']), from('node1', 'vip', 'dropped')],
  },
  {
    name: 'source ranges with the whole world in them',
    service: {
      vip: true,
      endpoints: [L1],
      spec: { loadBalancerSourceRanges: ['10.9.0.0/16', '0.0.0.0/0', 'fd09::/16', '::/0'] },
    },
    probes: [from('outside', 'vip', ['pod1+m']), from('pod3', 'vip', ['pod1+m']), from('node1', 'vip', ['pod1+m'])],
  },
  {
    name: 'source ranges at every port of the VIP',
    service: { vip: true, morePorts: [SECOND], endpoints: [L1], spec: OUTSIDE_ONLY },
    probes: [
      from('outside', 'vip', ['pod1+m']),
      from('outside', 'vip, second port', ['pod1:8081+m']),
      from('pod3', 'vip', 'dropped'),
      from('pod3', 'vip, second port', 'dropped'),
    ],
  },
  {
    name: 'source ranges and external policy Local',
    service: {
      vip: true,
      endpoints: [R1, L2],
      spec: {
        ...LOCAL,
        loadBalancerSourceRanges: ['10.250.0.9/32', '10.200.0.13/32', 'fd50::9/128', 'fd20:0:0:1::13/128'],
      },
    },
    probes: [
      from('outside', 'vip', ['pod2']),
      from('pod3', 'vip', ['remote1', 'pod2']),
      from('pod1', 'vip', 'dropped'),
      from('node1', 'vip', 'dropped'),
    ],
  },
  {
    name: 'source ranges at a VIP without endpoints: who may not call is not told so',
    service: { vip: true, endpoints: [], spec: OUTSIDE_ONLY },
    probes: [from('outside', 'vip', 'refused'), from('pod3', 'vip', 'dropped')],
  },
];

export const ADDRESSES_OF_SERVICES: readonly Row[] = [
  ...RANGES,
  {
    name: 'a VIP of mode Proxy is left to the balancer',
    service: { ...ALL_WAYS, ipMode: 'Proxy', endpoints: [L1, R1] },
    probes: [
      from('pod3', 'vip', 'untouched'),
      from('outside', 'vip', 'untouched'),
      from('outside', 'node-port', ['pod1+m', 'remote1+m']),
      from('pod3', 'external', ['pod1+m', 'remote1+m']),
      from('pod3', 'cluster', ['pod1', 'remote1']),
    ],
  },
  {
    name: 'a VIP of mode VIP is served here',
    service: { vip: true, ipMode: 'VIP', endpoints: [L1, R1] },
    probes: [from('pod3', 'vip', ['pod1+m', 'remote1+m']), from('outside', 'vip', ['pod1+m', 'remote1+m'])],
  },
  {
    name: 'several external IPs and VIPs',
    service: { externalIP: ['external', 'second external'], vip: TWO_VIPS, endpoints: [L1, R1] },
    probes: (['pod3', 'outside'] as const).flatMap((host) =>
      toAll(host, ['external', 'second external', ...TWO_VIPS], ['pod1+m', 'remote1+m']),
    ),
  },
  {
    name: 'addresses with leading zeros',
    service: { ...ALL_WAYS, hasLeadingZeros: true, endpoints: [L1, R1] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1']), ...toAll('outside', WAYS_IN, ['pod1+m', 'remote1+m'])],
  },
  {
    name: 'a ClusterIP that is an external IP and a VIP too is a ClusterIP',
    service: { externalIP: ['cluster', 'external'], vip: ['cluster', 'vip'], spec: LOCAL, endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', ['pod1', 'remote1']),
      from('node1', 'cluster', ['pod1+m', 'remote1+m']),
      from('outside', 'cluster', ['pod1+m', 'remote1+m']),
      from('outside', 'external', ['pod1']),
      from('outside', 'vip', ['pod1']),
    ],
  },
  {
    name: 'an external IP that is a VIP too is guarded by the source ranges',
    service: { externalIP: ['vip', 'external'], vip: true, endpoints: [L1], spec: OUTSIDE_ONLY },
    probes: [
      from('outside', 'vip', ['pod1+m']),
      from('pod3', 'vip', 'dropped'),
      from('node1', 'vip', 'dropped'),
      from('pod3', 'external', ['pod1+m']),
    ],
  },
  {
    name: 'a headless Service is none of ours',
    service: { endpoints: [L1], spec: { clusterIP: 'None', clusterIPs: ['None'] } },
    probes: [from('pod3', 'cluster', 'untouched'), from('pod3', 'pod1', ['pod1'])],
  },
  {
    name: 'an ExternalName is none of ours, even with a ClusterIP',
    service: { endpoints: [L1], spec: { type: 'ExternalName', externalName: 'elsewhere.example' } },
    probes: [from('pod3', 'cluster', 'untouched'), from('outside', 'cluster', 'untouched')],
  },
  {
    name: 'a Service of another proxy is none of ours',
    service: { ...ALL_WAYS, endpoints: [L1], labels: { 'service.kubernetes.io/service-proxy-name': 'other' } },
    probes: [from('pod3', 'cluster', 'untouched'), ...toAll('outside', WAYS_IN, 'untouched')],
  },
];
