/** Several ports, protocols, slices and target ports of one Service. */
import { draining, from, inSlice, L1, L2, onSecondPort, R1, type Row, terminating } from './rows.ts';
import { type PortSpec, SECOND_SERVICE_PORT, SECOND_TARGET_PORT, SERVICE_PORT } from './world.ts';

export const SECOND: PortSpec = { name: 'q', port: SECOND_SERVICE_PORT, target: SECOND_TARGET_PORT };
/** The same number as the first port's. */
export const OTHER: PortSpec = { name: 'o', protocol: 'other', port: SERVICE_PORT, target: SECOND_TARGET_PORT };

export const PORTS: readonly Row[] = [
  {
    name: 'several ports, two of them with one number and two protocols',
    service: { morePorts: [SECOND, OTHER], endpoints: [L1, R1] },
    probes: [
      from('pod3', 'cluster', ['pod1', 'remote1']),
      from('pod3', 'cluster, second port', ['pod1:8081', 'remote1:8081']),
      from('pod3', 'cluster, other protocol', ['pod1:8081', 'remote1:8081']),
      from('outside', 'cluster, second port', ['pod1:8081+m', 'remote1:8081+m']),
      from('outside', 'cluster, other protocol', ['pod1:8081+m', 'remote1:8081+m']),
      from('node1', 'cluster, second port', ['pod1:8081+m', 'remote1:8081+m']),
      from('pod1', 'cluster, second port', ['pod1:8081+m', 'remote1:8081']),
      from('pod1', 'cluster, other protocol', ['pod1:8081+m', 'remote1:8081']),
      from('pod3', 'cluster, other port', 'untouched'),
    ],
  },
  {
    name: 'ports at external IP and VIP',
    service: { externalIP: true, vip: true, morePorts: [SECOND], endpoints: [L1] },
    probes: [
      from('outside', 'external', ['pod1+m']),
      from('outside', 'external, second port', ['pod1:8081+m']),
      from('outside', 'vip', ['pod1+m']),
      from('outside', 'vip, second port', ['pod1:8081+m']),
    ],
  },
  {
    name: 'one NodePort number in two protocols',
    service: { nodePort: true, morePorts: [{ ...OTHER, nodePort: 'node-port' }], endpoints: [L1, R1] },
    probes: [
      from('outside', 'node-port', ['pod1+m', 'remote1+m']),
      from('outside', 'node-port, other protocol', ['pod1:8081+m', 'remote1:8081+m']),
      from('node1', 'node-port, other protocol', ['pod1:8081+m', 'remote1:8081+m']),
      from('pod3', 'node-port, other protocol', ['pod1:8081+m', 'remote1:8081+m']),
    ],
  },
  {
    name: 'a NodePort each for two ports',
    service: { nodePort: true, morePorts: [{ ...SECOND, nodePort: 'second node-port' }], endpoints: [L1] },
    probes: [
      from('outside', 'node-port', ['pod1+m']),
      from('outside', 'second node-port', ['pod1:8081+m']),
      from('outside', 'node-port, other protocol', 'untouched'),
    ],
  },
  {
    name: 'a protocol that the port does not speak is left alone',
    service: { endpoints: [L1] },
    probes: [from('pod3', 'cluster, other protocol', 'untouched')],
  },
  {
    name: 'a named target port is another number in another slice',
    service: { nodePort: true, endpoints: [L1, onSecondPort(R1)] },
    probes: [
      from('pod3', 'cluster', ['pod1', 'remote1:8081']),
      from('outside', 'cluster', ['pod1+m', 'remote1:8081+m']),
      from('outside', 'node-port', ['pod1+m', 'remote1:8081+m']),
      from('pod1', 'cluster', ['pod1+m', 'remote1:8081']),
    ],
  },
  {
    name: 'one pod on two target ports is two endpoints',
    service: { endpoints: [L1, onSecondPort(L1)] },
    probes: [from('pod3', 'cluster', ['pod1', 'pod1:8081']), from('pod1', 'cluster', ['pod1+m', 'pod1:8081+m'])],
  },
  {
    name: 'several slices',
    service: { endpoints: [L1, inSlice('2', L2), inSlice('3', R1)] },
    probes: [from('pod3', 'cluster', ['pod1', 'pod2', 'remote1'])],
  },
  {
    name: 'slices with different ports',
    service: {
      morePorts: [SECOND],
      endpoints: [L1, inSlice('2', R1)],
      portsOfSlices: { '1': ['p'], '2': ['q'] },
    },
    probes: [from('pod3', 'cluster', ['pod1']), from('pod3', 'cluster, second port', ['remote1:8081'])],
  },
  {
    name: 'a port that no slice has',
    service: { morePorts: [SECOND], endpoints: [L1], portsOfSlices: { '1': ['q'] } },
    probes: [from('pod3', 'cluster', 'refused'), from('pod3', 'cluster, second port', ['pod1:8081'])],
  },
  {
    name: 'a slice without ports',
    service: { endpoints: [L1], portsOfSlices: { '1': [] } },
    probes: [from('pod3', 'cluster', 'refused')],
    steps: [
      { name: 'the slice gets its port', service: { endpoints: [L1] }, probes: [from('pod3', 'cluster', ['pod1'])] },
    ],
  },
  {
    name: 'one pod in several slices counts as its best',
    service: { endpoints: [draining(L1), inSlice('2', L1), inSlice('3', terminating(L1)), R1] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
  },
];
