/** Traffic policies where the one or the other finds nobody, and Services without an endpoint. */
import {
  ALL_WAYS,
  draining,
  from,
  INTERNAL_LOCAL,
  L1,
  L2,
  LOCAL,
  R1,
  R2,
  type Row,
  sticksTo,
  terminating,
  toAll,
  unready,
  WAYS_IN,
} from './rows.ts';

export const POLICIES: readonly Row[] = [
  {
    name: 'external policy Local without a local endpoint',
    service: { ...ALL_WAYS, spec: LOCAL, endpoints: [R1] },
    probes: [
      from('pod3', 'cluster', ['remote1']),
      ...WAYS_IN.flatMap((to) => [
        from('pod3', to, ['remote1']),
        from('outside', to, 'dropped'),
        from('node1', to, ['remote1+m']),
      ]),
    ],
  },
  {
    name: 'external policy Local with session affinity',
    service: { ...ALL_WAYS, spec: { ...LOCAL, sessionAffinity: 'ClientIP' }, endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', sticksTo('pod1', 'remote1')),
      ...WAYS_IN.flatMap((to) => [
        from('pod3', to, sticksTo('pod1', 'remote1')),
        from('outside', to, ['pod1']),
        from('node1', to, sticksTo('pod1+m', 'remote1+m')),
      ]),
    ],
  },
  {
    name: 'external policy Local of a Service that has nothing but external IPs',
    service: { externalIP: ['external', 'second external'], spec: LOCAL, endpoints: [R1, L2] },
    probes: (['external', 'second external'] as const).flatMap((to) => [
      from('pod3', to, ['remote1', 'pod2']),
      from('outside', to, ['pod2']),
      from('node1', to, ['remote1+m', 'pod2+m']),
    ]),
  },
  {
    name: 'external policy Local of a Service that has nothing but a ClusterIP',
    service: { spec: LOCAL, endpoints: [R1] },
    probes: [from('pod3', 'cluster', ['remote1']), from('outside', 'cluster', ['remote1+m'])],
  },
  {
    name: 'internal policy Local',
    service: { nodePort: true, spec: INTERNAL_LOCAL, endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', ['pod1']),
      from('node1', 'cluster', ['pod1+m']),
      from('pod1', 'cluster', ['pod1+m']),
      from('outside', 'node-port', ['pod1+m', 'remote1+m']),
    ],
  },
  {
    name: 'internal policy Local, several here',
    service: { spec: INTERNAL_LOCAL, endpoints: [L1, L2, R1] },
    probes: [from('pod3', 'cluster', ['pod1', 'pod2']), from('outside', 'cluster', ['pod1+m', 'pod2+m'])],
    steps: [
      {
        name: 'its slice is deleted',
        service: { spec: INTERNAL_LOCAL, endpoints: [], hasNoSlice: true },
        probes: [from('pod3', 'cluster', 'refused')],
      },
    ],
  },
  {
    name: 'internal policy Local without a local endpoint',
    service: { spec: INTERNAL_LOCAL, endpoints: [R1, R2] },
    probes: [
      from('pod3', 'cluster', 'dropped'),
      from('node1', 'cluster', 'dropped'),
      from('outside', 'cluster', 'dropped'),
    ],
    steps: [
      {
        name: 'its slice is deleted',
        service: { spec: INTERNAL_LOCAL, endpoints: [], hasNoSlice: true },
        probes: [from('pod3', 'cluster', 'refused')],
      },
    ],
  },
  {
    name: 'internal policy Local without a local endpoint does not concern the ways in',
    service: { ...ALL_WAYS, spec: INTERNAL_LOCAL, endpoints: [R1] },
    probes: [
      from('pod3', 'cluster', 'dropped'),
      ...toAll('pod3', WAYS_IN, ['remote1+m']),
      ...toAll('outside', WAYS_IN, ['remote1+m']),
    ],
  },
  {
    name: 'both policies Local without a local endpoint',
    service: { ...ALL_WAYS, spec: { ...LOCAL, ...INTERNAL_LOCAL }, endpoints: [R1, draining(R2)] },
    probes: [
      from('pod3', 'cluster', 'dropped'),
      from('node1', 'cluster', 'dropped'),
      ...toAll('pod3', WAYS_IN, ['remote1']),
      ...toAll('outside', WAYS_IN, 'dropped'),
      ...toAll('node1', WAYS_IN, ['remote1+m']),
    ],
  },
  {
    name: 'both policies Local and only draining endpoints elsewhere',
    service: { nodePort: true, spec: { ...LOCAL, ...INTERNAL_LOCAL }, endpoints: [draining(R1), draining(R2)] },
    probes: [
      from('pod3', 'cluster', 'dropped'),
      from('outside', 'node-port', 'dropped'),
      from('pod3', 'node-port', ['remote1', 'remote2']),
    ],
  },
  {
    name: 'internal policy Local falls back to local draining endpoints by itself',
    service: { nodePort: true, spec: INTERNAL_LOCAL, endpoints: [draining(L1), R1] },
    probes: [from('pod3', 'cluster', ['pod1']), from('outside', 'node-port', ['remote1+m'])],
  },
  {
    name: 'internal policy Local and nobody here that serves',
    service: { nodePort: true, spec: INTERNAL_LOCAL, endpoints: [terminating(L1), unready(L2), R1] },
    probes: [from('pod3', 'cluster', 'dropped'), from('pod3', 'node-port', ['remote1+m'])],
  },
  {
    name: 'no endpoint at all, all ways in',
    service: { ...ALL_WAYS, endpoints: [] },
    probes: (['pod3', 'outside', 'node1'] as const).flatMap((host) => toAll(host, ['cluster', ...WAYS_IN], 'refused')),
  },
  {
    name: 'no endpoint at all, policies Local',
    service: { ...ALL_WAYS, spec: { ...LOCAL, ...INTERNAL_LOCAL }, endpoints: [] },
    probes: (['pod3', 'outside', 'node1'] as const).flatMap((host) => toAll(host, ['cluster', ...WAYS_IN], 'refused')),
  },
];
