/** Services that leave, come again or are none of ours for a while; and two that want the same. */
import { ALL_WAYS, from, INTERNAL_LOCAL, L1, L2, LOCAL, R1, type Row, toAll, WAYS_IN } from './rows.ts';
import type { ServiceSpec } from './world.ts';

const PLAIN: ServiceSpec = { endpoints: [L1, R1] };
const OPEN: ServiceSpec = { ...ALL_WAYS, endpoints: [L1, R1] };
const BOTH = ['pod1', 'remote1'] as const;
const BOTH_MASQUERADED = ['pod1+m', 'remote1+m'] as const;
const LIVES: readonly Row[] = [
  {
    name: 'a Service is deleted and made anew',
    service: OPEN,
    probes: [from('pod3', 'cluster', BOTH), ...toAll('outside', WAYS_IN, BOTH_MASQUERADED)],
    steps: [
      {
        name: 'it is deleted',
        service: 'deleted',
        probes: [
          from('pod3', 'cluster', 'untouched'),
          from('node1', 'cluster', 'untouched'),
          ...toAll('outside', WAYS_IN, 'untouched'),
        ],
      },
      {
        name: 'it is there again with another NodePort',
        service: { ...OPEN, nodePort: 'second node-port', endpoints: [L2, R1] },
        probes: [
          from('pod3', 'cluster', ['pod2', 'remote1']),
          from('outside', 'vip', ['pod2+m', 'remote1+m']),
          from('outside', 'second node-port', ['pod2+m', 'remote1+m']),
          from('outside', 'node-port', 'untouched'),
        ],
      },
    ],
  },
  {
    name: 'a Service without endpoints is deleted',
    service: { nodePort: true, endpoints: [] },
    probes: [from('pod3', 'cluster', 'refused'), from('outside', 'node-port', 'refused')],
    steps: [{ name: 'it is deleted', service: 'deleted', probes: [from('pod3', 'cluster', 'untouched')] }],
  },
  {
    name: 'a Service without a local endpoint is deleted',
    service: { nodePort: true, spec: { ...LOCAL, ...INTERNAL_LOCAL }, endpoints: [R1] },
    probes: [from('pod3', 'cluster', 'dropped'), from('outside', 'node-port', 'dropped')],
    steps: [
      { name: 'it is deleted', service: 'deleted', probes: [from('pod3', 'cluster', 'untouched')] },
      {
        name: 'it is there again without policies',
        service: { ...PLAIN, nodePort: true },
        probes: [from('pod3', 'cluster', BOTH), from('outside', 'node-port', BOTH_MASQUERADED)],
      },
    ],
  },
  {
    name: 'a Service becomes headless',
    service: { ...PLAIN, nodePort: true },
    probes: [from('pod3', 'cluster', BOTH)],
    steps: [
      {
        name: 'it is headless',
        service: { ...PLAIN, spec: { clusterIP: 'None', clusterIPs: ['None'] } },
        probes: [from('pod3', 'cluster', 'untouched'), from('outside', 'node-port', 'untouched')],
      },
      {
        name: 'it has its ClusterIP again',
        service: { ...PLAIN, nodePort: true },
        probes: [from('pod3', 'cluster', BOTH), from('outside', 'node-port', BOTH_MASQUERADED)],
      },
    ],
  },
  {
    name: 'a Service becomes an ExternalName',
    service: PLAIN,
    probes: [from('pod3', 'cluster', BOTH)],
    steps: [
      {
        name: 'it is one',
        service: { ...PLAIN, spec: { type: 'ExternalName', externalName: 'elsewhere.example' } },
        probes: [from('pod3', 'cluster', 'untouched')],
      },
      { name: 'it is none any more', service: PLAIN, probes: [from('pod3', 'cluster', BOTH)] },
    ],
  },
  {
    name: 'a Service goes to another proxy',
    service: { ...PLAIN, nodePort: true },
    probes: [from('pod3', 'cluster', BOTH), from('outside', 'node-port', BOTH_MASQUERADED)],
    steps: [
      {
        name: 'it is labelled',
        service: { ...PLAIN, nodePort: true, labels: { 'service.kubernetes.io/service-proxy-name': 'other' } },
        probes: [from('pod3', 'cluster', 'untouched'), from('outside', 'node-port', 'untouched')],
      },
      {
        name: 'the label is taken off',
        service: { ...PLAIN, nodePort: true },
        probes: [from('pod3', 'cluster', BOTH), from('outside', 'node-port', BOTH_MASQUERADED)],
      },
    ],
  },
];

const rival = (more: Partial<ServiceSpec>): ServiceSpec => ({
  cluster: 'rival cluster',
  age: 'younger',
  endpoints: [R1],
  ...more,
});
const first = (more: Partial<ServiceSpec>): ServiceSpec => ({ age: 'older', endpoints: [L1], ...more });

const RIVALS: readonly Row[] = [
  {
    name: 'two Services want one NodePort: the older one has it',
    service: first({ nodePort: true }),
    rival: rival({ nodePort: true }),
    probes: [
      ...toAll('outside', ['node-port'], ['pod1+m']),
      from('pod3', 'cluster', ['pod1']),
      from('pod3', 'rival cluster', ['remote1']),
    ],
    steps: [
      {
        name: 'the older one is deleted',
        service: 'deleted',
        probes: [from('outside', 'node-port', ['remote1+m']), from('pod3', 'rival cluster', ['remote1'])],
      },
      {
        name: 'an older one comes',
        service: first({ nodePort: true, endpoints: [L2] }),
        probes: [from('outside', 'node-port', ['pod2+m']), from('pod3', 'rival cluster', ['remote1'])],
      },
      {
        name: 'the older one wants another',
        service: first({ nodePort: 'second node-port', endpoints: [L2] }),
        probes: [from('outside', 'node-port', ['remote1+m']), from('outside', 'second node-port', ['pod2+m'])],
      },
    ],
  },
  {
    name: 'two Services of two policies want one NodePort: the older one has all of it',
    service: first({ nodePort: true, endpoints: [L1, R1] }),
    rival: rival({ nodePort: true, spec: LOCAL, endpoints: [L2] }),
    probes: [
      from('outside', 'node-port', BOTH_MASQUERADED),
      from('pod3', 'node-port', BOTH_MASQUERADED),
      from('node1', 'node-port', BOTH_MASQUERADED),
    ],
    steps: [
      {
        name: 'the older one has no endpoint',
        service: first({ nodePort: true, endpoints: [] }),
        probes: [from('outside', 'node-port', 'refused'), from('pod3', 'node-port', 'refused')],
      },
      {
        name: 'the older one gives it up',
        service: first({}),
        probes: [from('outside', 'node-port', ['pod2']), from('pod3', 'node-port', ['pod2'])],
      },
    ],
  },
  {
    name: 'two Services want one external IP: the older one has it',
    service: first({ externalIP: true }),
    rival: rival({ externalIP: true }),
    probes: [from('outside', 'external', ['pod1+m']), from('pod3', 'rival cluster', ['remote1'])],
    steps: [
      {
        name: 'the younger one is deleted',
        rival: 'deleted',
        probes: [from('outside', 'external', ['pod1+m']), from('pod3', 'rival cluster', 'untouched')],
      },
      {
        name: 'it is there again, and the older one gives it up',
        service: first({}),
        rival: rival({ externalIP: true }),
        probes: [from('outside', 'external', ['remote1+m']), from('pod3', 'cluster', ['pod1'])],
      },
    ],
  },
  {
    name: 'a younger Service wants an older one’s ClusterIP and VIP for its external IPs',
    service: first({ vip: true, spec: { loadBalancerSourceRanges: ['10.250.0.9/32', 'fd50::9/128'] } }),
    rival: rival({ externalIP: ['cluster', 'vip', 'external'] }),
    probes: [
      from('pod3', 'cluster', ['pod1']),
      from('outside', 'vip', ['pod1+m']),
      from('pod3', 'vip', 'dropped'),
      from('outside', 'external', ['remote1+m']),
    ],
  },
];

export const LIVES_AND_RIVALS: readonly Row[] = [...LIVES, ...RIVALS];
