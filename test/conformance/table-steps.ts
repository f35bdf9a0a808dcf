/** Endpoints that come, leave and change while the Service stays. */
import {
  draining,
  from,
  INTERNAL_LOCAL,
  inSlice,
  L1,
  L2,
  LOCAL,
  onSecondPort,
  R1,
  R2,
  type Row,
  sticksTo,
  terminating,
  unready,
} from './rows.ts';
import type { EndpointSpec, ServiceSpec } from './world.ts';

const nodePort = (endpoints: readonly EndpointSpec[]): ServiceSpec => ({ nodePort: true, endpoints });
const local = (endpoints: readonly EndpointSpec[]): ServiceSpec => ({ nodePort: true, spec: LOCAL, endpoints });
const internalLocal = (endpoints: readonly EndpointSpec[]): ServiceSpec => ({ spec: INTERNAL_LOCAL, endpoints });
const sticky = (endpoints: readonly EndpointSpec[]): ServiceSpec => ({
  nodePort: true,
  endpoints,
  spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } },
});

export const ENDPOINT_STEPS: readonly Row[] = [
  {
    name: 'endpoints come and go',
    service: nodePort([L1]),
    probes: [from('pod3', 'cluster', ['pod1']), from('outside', 'node-port', ['pod1+m'])],
    steps: [
      {
        name: 'two are added',
        service: nodePort([L1, R1, R2]),
        probes: [
          from('pod3', 'cluster', ['pod1', 'remote1', 'remote2']),
          from('outside', 'node-port', ['pod1+m', 'remote1+m', 'remote2+m']),
        ],
      },
      {
        name: 'one is removed',
        service: nodePort([R1, R2]),
        probes: [
          from('pod3', 'cluster', ['remote1', 'remote2']),
          from('outside', 'node-port', ['remote1+m', 'remote2+m']),
        ],
      },
      {
        name: 'another one takes its place',
        service: nodePort([L2, R2]),
        probes: [
          from('pod3', 'cluster', ['pod2', 'remote2']),
          from('pod2', 'cluster', ['pod2+m', 'remote2']),
          from('outside', 'node-port', ['pod2+m', 'remote2+m']),
        ],
      },
      {
        name: 'all are gone',
        service: nodePort([]),
        probes: [from('pod3', 'cluster', 'refused'), from('outside', 'node-port', 'refused')],
      },
      {
        name: 'one is there again',
        service: nodePort([L2]),
        probes: [from('pod3', 'cluster', ['pod2']), from('outside', 'node-port', ['pod2+m'])],
      },
    ],
  },
  {
    name: 'endpoints drain and come back',
    service: local([L1, L2, R1]),
    probes: [from('pod3', 'cluster', ['pod1', 'pod2', 'remote1']), from('outside', 'node-port', ['pod1', 'pod2'])],
    steps: [
      {
        name: 'one here drains',
        service: local([draining(L1), L2, R1]),
        probes: [from('pod3', 'cluster', ['pod2', 'remote1']), from('outside', 'node-port', ['pod2'])],
      },
      {
        name: 'both here drain',
        service: local([draining(L1), draining(L2), R1]),
        probes: [from('pod3', 'cluster', ['remote1']), from('outside', 'node-port', ['pod1', 'pod2'])],
      },
      {
        name: 'all drain, one has ended',
        service: local([terminating(L1), draining(L2), draining(R1)]),
        probes: [from('pod3', 'cluster', ['pod2', 'remote1']), from('outside', 'node-port', ['pod2'])],
      },
      {
        name: 'the last one here has ended',
        service: local([terminating(L1), terminating(L2), draining(R1)]),
        probes: [
          from('pod3', 'cluster', ['remote1']),
          from('outside', 'node-port', 'dropped'),
          from('pod3', 'node-port', ['remote1']),
        ],
      },
      {
        name: 'they are ready again',
        service: local([L1, L2, R1]),
        probes: [from('pod3', 'cluster', ['pod1', 'pod2', 'remote1']), from('outside', 'node-port', ['pod1', 'pod2'])],
      },
    ],
  },
  {
    name: 'endpoints fail their probes and pass them again',
    service: nodePort([L1, R1]),
    probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
    steps: [
      { name: 'one fails', service: nodePort([unready(L1), R1]), probes: [from('pod3', 'cluster', ['remote1'])] },
      {
        name: 'all fail',
        service: nodePort([unready(L1), unready(R1)]),
        probes: [from('pod3', 'cluster', 'refused'), from('outside', 'node-port', 'refused')],
      },
      { name: 'one passes', service: nodePort([L1, unready(R1)]), probes: [from('pod3', 'cluster', ['pod1'])] },
    ],
  },
  {
    name: 'the local endpoint of internal policy Local leaves and comes back',
    service: internalLocal([L1, R1]),
    probes: [from('pod3', 'cluster', ['pod1'])],
    steps: [
      {
        name: 'it leaves',
        service: internalLocal([R1]),
        probes: [from('pod3', 'cluster', 'dropped'), from('node1', 'cluster', 'dropped')],
      },
      { name: 'all have left', service: internalLocal([]), probes: [from('pod3', 'cluster', 'refused')] },
      {
        name: 'another comes',
        service: internalLocal([L2, R1]),
        probes: [from('pod3', 'cluster', ['pod2']), from('node1', 'cluster', ['pod2+m'])],
      },
    ],
  },
  {
    name: 'slices are added, renamed and deleted',
    service: { endpoints: [L1, inSlice('2', R1)] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
    steps: [
      {
        name: 'an endpoint moves into a third slice',
        service: { endpoints: [inSlice('3', L1), inSlice('2', R1)] },
        probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
      },
      {
        name: 'one is deleted',
        service: { endpoints: [inSlice('3', L1)] },
        probes: [from('pod3', 'cluster', ['pod1'])],
      },
      {
        name: 'all are deleted',
        service: { endpoints: [], hasNoSlice: true },
        probes: [from('pod3', 'cluster', 'refused')],
      },
      {
        name: 'there is one again',
        service: { endpoints: [inSlice('4', L2)] },
        probes: [from('pod3', 'cluster', ['pod2'])],
      },
    ],
  },
  {
    name: 'the target port changes',
    service: nodePort([L1, R1]),
    probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
    steps: [
      {
        name: 'pod by pod',
        service: nodePort([onSecondPort(L1), R1]),
        probes: [
          from('pod3', 'cluster', ['pod1:8081', 'remote1']),
          from('pod1', 'cluster', ['pod1:8081+m', 'remote1']),
          from('outside', 'node-port', ['pod1:8081+m', 'remote1+m']),
        ],
      },
      {
        name: 'for all of them',
        service: nodePort([onSecondPort(L1), onSecondPort(R1)]),
        probes: [
          from('pod3', 'cluster', ['pod1:8081', 'remote1:8081']),
          from('outside', 'node-port', ['pod1:8081+m', 'remote1:8081+m']),
        ],
      },
    ],
  },
  {
    name: 'session affinity holds a client where it is, as long as that is there',
    service: sticky([L1, R1]),
    probes: [
      from('pod3', 'cluster', sticksTo('pod1', 'remote1')),
      from('outside', 'node-port', sticksTo('pod1+m', 'remote1+m')),
      from('pod2', 'cluster', sticksTo('pod1', 'remote1')),
    ],
    steps: [
      {
        name: 'one is removed, another added',
        service: sticky([L2, R1]),
        probes: [
          from('pod3', 'cluster', sticksTo('pod2', 'remote1')),
          from('outside', 'node-port', sticksTo('pod2+m', 'remote1+m')),
        ],
      },
      {
        name: 'one alone is left',
        service: sticky([L2]),
        probes: [from('pod3', 'cluster', ['pod2']), from('outside', 'node-port', ['pod2+m'])],
      },
      {
        name: 'the other comes again',
        service: sticky([draining(L2), R1]),
        probes: [from('pod3', 'cluster', ['remote1']), from('outside', 'node-port', ['remote1+m'])],
      },
      {
        name: 'without affinity',
        service: nodePort([L2, R1]),
        probes: [from('pod3', 'cluster', ['pod2', 'remote1']), from('outside', 'node-port', ['pod2+m', 'remote1+m'])],
      },
      {
        name: 'with affinity again',
        service: sticky([L2, R1]),
        probes: [from('pod3', 'cluster', sticksTo('pod2', 'remote1'))],
      },
    ],
  },
];
