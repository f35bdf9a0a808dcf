/** Services that claim the node's own address, whose port is a NodePort's number: the address goes before the NodePort. */
import { from, L1, LOCAL, R1, R2, type Row } from './rows.ts';
import type { ServiceSpec } from './world.ts';

const BALANCER: ServiceSpec = { vip: ['node1'], port: 'node-port', age: 'younger', endpoints: [L1] };
const NODE_PORT: ServiceSpec = { cluster: 'rival cluster', nodePort: true, age: 'older', endpoints: [R1] };

export const OWN_ADDRESS: readonly Row[] = [
  {
    name: 'a balancer’s address is the node’s own, its port an older Service’s NodePort',
    service: BALANCER,
    rival: NODE_PORT,
    probes: [
      from('outside', 'node-port', ['pod1+m']),
      from('pod3', 'node-port', ['pod1+m']),
      from('node1', 'node-port', ['pod1+m']),
      from('pod3', 'node-port at pod gateway', ['remote1+m']),
    ],
    steps: [
      {
        name: 'policy Local, and nobody is here',
        service: { ...BALANCER, spec: LOCAL, endpoints: [R2] },
        probes: [
          from('outside', 'node-port', 'dropped'),
          from('pod3', 'node-port', ['remote2']),
          from('node1', 'node-port', ['remote2+m']),
        ],
      },
      {
        name: 'nobody is anywhere, so it gives way',
        service: { ...BALANCER, endpoints: [] },
        probes: [from('outside', 'node-port', ['remote1+m']), from('node1', 'node-port', ['remote1+m'])],
      },
      {
        name: 'it is deleted',
        service: 'deleted',
        probes: [from('outside', 'node-port', ['remote1+m']), from('node1', 'node-port', ['remote1+m'])],
      },
    ],
  },
  {
    name: 'an external IP that is the node’s own, policy Local, endpoints elsewhere',
    service: { externalIP: ['node1'], port: 'node-port', spec: LOCAL, endpoints: [R1] },
    probes: [
      from('outside', 'node-port', 'dropped'),
      from('pod3', 'node-port', ['remote1']),
      from('node1', 'node-port', ['remote1+m']),
    ],
    steps: [
      {
        name: 'one is here',
        service: { externalIP: ['node1'], port: 'node-port', spec: LOCAL, endpoints: [R1, L1] },
        probes: [from('outside', 'node-port', ['pod1']), from('node1', 'node-port', ['pod1+m', 'remote1+m'])],
      },
    ],
  },
];
