/** Where a backend may answer otherwise than the table says, and why: the whole list. */
import type { IPFamily } from '../../src/model/address.ts';
import type { Expected } from './rows.ts';
import type { Destination, HostName } from './world.ts';

export type BackendName = 'iptables' | 'nftables' | 'ipvs';

export interface Difference {
  readonly backends: readonly BackendName[];
  readonly family?: IPFamily;
  /** Row → its states, 0 for the first one. */
  readonly rows: Readonly<Record<string, readonly number[]>>;
  /** Anybody unless said. */
  readonly from?: HostName;
  readonly to: readonly Destination[];
  readonly insteadOf: Extract<Expected, string>;
  readonly expect: Expected;
  readonly reason: string;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    backends: ['iptables'],
    family: 'IPv4',
    rows: { 'NodePort at the node’s loopback address': [0] },
    to: ['node-port at loopback'],
    insteadOf: 'untouched',
    expect: ['pod1+m', 'remote1+m'],
    reason: 'NodePorts at 127.0.0.1 are there in mode iptables only, as in kube-proxy',
  },
  {
    backends: ['nftables', 'ipvs'],
    rows: {
      'an undefined port of a ClusterIP is left alone': [0],
      'several ports, two of them with one number and two protocols': [0],
      'a protocol that the port does not speak is left alone': [0],
      'the port changes': [0, 1, 2],
      'ports are added and removed': [2],
    },
    to: ['cluster', 'cluster, other port', 'cluster, other protocol', 'cluster, second port'],
    insteadOf: 'untouched',
    expect: 'refused',
    reason: 'an undefined port of a ClusterIP is refused, as in kube-proxy: nobody else has that address',
  },
  {
    backends: ['iptables'],
    rows: { 'no endpoint at all, all ways in': [0], 'no endpoint at all, policies Local': [0] },
    from: 'node1',
    to: ['external', 'vip'],
    insteadOf: 'refused',
    expect: 'untouched',
    reason: 'the node’s own calls to an external IP without endpoints leave the node, as in kube-proxy',
  },
  {
    backends: ['iptables'],
    rows: { 'source ranges at a VIP without endpoints: who may not call is not told so': [0] },
    to: ['vip'],
    insteadOf: 'dropped',
    expect: 'refused',
    reason: 'without endpoints all are refused, also those whom the source ranges keep out, as in kube-proxy',
  },
];
