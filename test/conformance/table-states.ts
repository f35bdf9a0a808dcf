/** Endpoints that are ready, drain, or do not serve. */
import {
  draining,
  from,
  L1,
  L2,
  LOCAL,
  onSecondPort,
  R1,
  R2,
  type Row,
  type Step,
  terminating,
  unready,
} from './rows.ts';
import type { EndpointSpec, ServiceSpec } from './world.ts';

const GONE: Step['probes'] = [from('pod3', 'cluster', 'refused'), from('outside', 'vip', 'refused')];

/** Its slices leave in the end, and everybody is refused. */
const thenDeleted = (spec: ServiceSpec['spec']): readonly Step[] => [
  {
    name: 'its slices are deleted',
    service: { vip: true, ...(spec === undefined ? {} : { spec }), endpoints: [], hasNoSlice: true },
    probes: GONE,
  },
];

const withPolicy = (
  endpoints: readonly EndpointSpec[],
  [name, cluster, local]: readonly [string, Row['probes'][number]['expect'], Row['probes'][number]['expect']],
  spec?: ServiceSpec['spec'],
): Row => ({
  name: `${name}, external policy ${spec === undefined ? 'Cluster' : 'Local'}`,
  service: { vip: true, ...(spec === undefined ? {} : { spec }), endpoints },
  probes: [from('pod3', 'cluster', cluster), from('outside', 'vip', local)],
  steps: thenDeleted(spec),
});

const HERE_8081 = onSecondPort(L1);
const ALSO_HERE_8081 = onSecondPort(L2);

const TERMINATING: readonly Row[] = [
  withPolicy(
    [L1, L2, draining(HERE_8081), terminating(ALSO_HERE_8081), R1],
    ['ready ones here and elsewhere', ['pod1', 'pod2', 'remote1'], ['pod1', 'pod2']],
    LOCAL,
  ),
  withPolicy(
    [draining(L2), draining(HERE_8081), terminating(ALSO_HERE_8081), R1],
    ['here they drain, elsewhere one is ready', ['remote1'], ['pod2', 'pod1:8081']],
    LOCAL,
  ),
  withPolicy([draining(R1)], ['one that drains elsewhere', ['remote1'], 'dropped'], LOCAL),
  withPolicy([terminating(L1), terminating(R1)], ['all have ended', 'refused', 'refused'], LOCAL),
  withPolicy(
    [L1, L2, draining(onSecondPort(R1)), terminating(onSecondPort(R2)), R1],
    ['ready ones here and elsewhere', ['pod1', 'pod2', 'remote1'], ['pod1+m', 'pod2+m', 'remote1+m']],
  ),
  withPolicy(
    [draining(L1), draining(L2), terminating(R1), draining(R2)],
    ['all drain', ['pod1', 'pod2', 'remote2'], ['pod1+m', 'pod2+m', 'remote2+m']],
  ),
  withPolicy([draining(R1)], ['one that drains elsewhere', ['remote1'], ['remote1+m']]),
  withPolicy([terminating(L1), terminating(R1)], ['all have ended', 'refused', 'refused']),
];

export const STATES: readonly Row[] = [
  ...TERMINATING,
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
    name: 'one that is ready elsewhere, one that drains here, and one that is not ready',
    service: { nodePort: true, spec: LOCAL, endpoints: [R1, unready(L1), draining(L2), draining(R2)] },
    probes: [from('pod3', 'cluster', ['remote1']), from('outside', 'node-port', ['pod2'])],
  },
  {
    // what publishNotReadyAddresses makes of pods that are not ready
    name: 'endpoints that are published although they do not serve',
    service: { nodePort: true, endpoints: [{ ...L1, state: 'published' }, unready(L2), R1] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1']), from('outside', 'node-port', ['pod1+m', 'remote1+m'])],
  },
  {
    name: 'endpoints whose conditions are unknown are ready',
    service: { nodePort: true, spec: LOCAL, endpoints: [{ ...L1, state: 'unknown' }, R1, draining(L2)] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1']), from('outside', 'node-port', ['pod1'])],
  },
];
