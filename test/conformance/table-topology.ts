/** Topology hints: which endpoints a node of zone za sends its traffic to. */
import { draining, from, hinted, INTERNAL_LOCAL, L1, L2, LOCAL, R1, R2, type Row, unready } from './rows.ts';

const za = ['za'];
const zb = ['zb'];

export const TOPOLOGY: readonly Row[] = [
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
  {
    name: 'hints decide for the ways in as well',
    service: { nodePort: true, vip: true, endpoints: [hinted(L1, za), hinted(R1, zb), hinted(R2, za)] },
    probes: [
      from('outside', 'node-port', ['pod1+m', 'remote2+m']),
      from('outside', 'vip', ['pod1+m', 'remote2+m']),
      from('pod3', 'vip', ['pod1+m', 'remote2+m']),
      from('node1', 'cluster', ['pod1+m', 'remote2+m']),
    ],
  },
  {
    name: 'hints for another zone alone do not count',
    service: { endpoints: [hinted(L1, zb), hinted(R1, zb)] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
  },
  {
    name: 'zone hints on a node without a zone do not count',
    zone: 'none',
    service: { endpoints: [hinted(L1, za), hinted(R1, zb), hinted(R2, [''])] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1', 'remote2'])],
  },
  {
    name: 'node hints on a node without a zone count',
    zone: 'none',
    service: { endpoints: [hinted(L1, za, ['node2']), hinted(R1, za, ['node1'])] },
    probes: [from('pod3', 'cluster', ['remote1'])],
  },
  {
    name: 'an unready endpoint of this zone is not used',
    service: { endpoints: [hinted(L1, za), unready(hinted(R1, za)), hinted(R2, zb)] },
    probes: [from('pod3', 'cluster', ['pod1'])],
  },
  {
    name: 'when all of this zone are unready the other zones serve',
    service: { endpoints: [unready(hinted(L1, za)), hinted(R1, zb), hinted(R2, ['zc'])] },
    probes: [from('pod3', 'cluster', ['remote1', 'remote2'])],
  },
  {
    name: 'an unready endpoint without a hint does not matter',
    service: { endpoints: [hinted(L1, za), hinted(R1, zb), unready(R2)] },
    probes: [from('pod3', 'cluster', ['pod1'])],
  },
  {
    name: 'a draining endpoint is used whatever its hints',
    service: { endpoints: [draining(hinted(L1, zb)), draining(hinted(R1, za))] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
  },
  {
    name: 'node hints for others only leave it to the zones',
    service: { endpoints: [hinted(L1, za, ['node2']), hinted(L2, zb, ['node3']), hinted(R1, za, ['node2'])] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1'])],
  },
  {
    name: 'an endpoint without a node hint leaves it to the zones',
    service: { endpoints: [hinted(L1, zb, ['node1']), hinted(R1, za), hinted(R2, zb)] },
    probes: [from('pod3', 'cluster', ['remote1'])],
  },
  {
    name: 'external policy Local takes this node’s, whatever their hints',
    service: {
      nodePort: true,
      spec: LOCAL,
      endpoints: [hinted(L1, za), hinted(L2, zb), hinted(R1, ['zc']), hinted(R2, za)],
    },
    probes: [
      from('pod3', 'cluster', ['pod1', 'remote2']),
      from('pod3', 'node-port', ['pod1', 'remote2']),
      from('outside', 'node-port', ['pod1', 'pod2']),
    ],
  },
  {
    name: 'internal policy Local takes this node’s, whatever their hints',
    service: {
      nodePort: true,
      spec: INTERNAL_LOCAL,
      endpoints: [hinted(L1, za), hinted(L2, zb), hinted(R1, ['zc']), hinted(R2, za)],
    },
    probes: [from('pod3', 'cluster', ['pod1', 'pod2']), from('outside', 'node-port', ['pod1+m', 'remote2+m'])],
  },
  {
    name: 'hints come, change and go',
    service: { endpoints: [L1, R1, R2] },
    probes: [from('pod3', 'cluster', ['pod1', 'remote1', 'remote2'])],
    steps: [
      {
        name: 'all get one',
        service: { endpoints: [hinted(L1, za), hinted(R1, zb), hinted(R2, za)] },
        probes: [from('pod3', 'cluster', ['pod1', 'remote2'])],
      },
      {
        name: 'they are dealt out otherwise',
        service: { endpoints: [hinted(L1, zb), hinted(R1, za), hinted(R2, zb)] },
        probes: [from('pod3', 'cluster', ['remote1'])],
      },
      {
        name: 'one loses its hint',
        service: { endpoints: [hinted(L1, zb), R1, hinted(R2, zb)] },
        probes: [from('pod3', 'cluster', ['pod1', 'remote1', 'remote2'])],
      },
    ],
  },
];
