/** What the node needs whatever its Services: jumps from the built-in chains, masquerading, forwarding. Pure. */
import type { Fragment } from '../../dataplane/contract.ts';
import type { NodeContext } from '../../model/node.ts';
import {
  EXTERNAL_SERVICES,
  FORWARD,
  MARK_MASQ,
  NODEPORTS,
  POSTROUTING,
  PROXY_FIREWALL,
  SERVICES,
  type Table,
} from './names.ts';
import { chain, jump, trunk, type Wish } from './objects.ts';
import { hostCidr, loopback, mark, NEW, rule, TO_LOCAL } from './rule.ts';

/** [table, built-in chain, rule] in the order in which they are put on top, which is kube-proxy's. */
const JUMPS: readonly (readonly [Table, string, string])[] = [
  ['filter', 'INPUT', `${NEW} -j ${EXTERNAL_SERVICES}`],
  ['filter', 'FORWARD', `${NEW} -j ${EXTERNAL_SERVICES}`],
  ['filter', 'INPUT', `-j ${NODEPORTS}`],
  ['filter', 'FORWARD', `${NEW} -j ${SERVICES}`],
  ['filter', 'OUTPUT', `${NEW} -j ${SERVICES}`],
  ['filter', 'FORWARD', `-j ${FORWARD}`],
  ['filter', 'INPUT', `${NEW} -j ${PROXY_FIREWALL}`],
  ['filter', 'OUTPUT', `${NEW} -j ${PROXY_FIREWALL}`],
  ['filter', 'FORWARD', `${NEW} -j ${PROXY_FIREWALL}`],
  ['nat', 'OUTPUT', `-j ${SERVICES}`],
  ['nat', 'PREROUTING', `-j ${SERVICES}`],
  ['nat', 'POSTROUTING', `-j ${POSTROUTING}`],
];

/** The rank of a jump: jumps with a higher one are put on top later. */
export const jumpRank = (table: Table, from: string, target: string): number =>
  JUMPS.findIndex(([t, c, r]) => t === table && c === from && r.endsWith(`-j ${target}`));

export const base = (node: NodeContext): Fragment<Wish> => ({
  owner: 'base',
  since: 0,
  objects: [
    ...JUMPS.map(([table, from, text]) => jump(table, from, text)),
    chain('nat', MARK_MASQ, [rule({}, setMark(node, node.masqueradeMark))]),
    chain('nat', POSTROUTING, postrouting(node)),
    chain('filter', FORWARD, forward(node)),
    trunk('nat', SERVICES, toNodePorts(node)),
    trunk('nat', NODEPORTS, []),
    trunk('filter', SERVICES, []),
    trunk('filter', EXTERNAL_SERVICES, []),
    trunk('filter', NODEPORTS, []),
    trunk('filter', PROXY_FIREWALL, []),
  ],
});

const setMark = (node: NodeContext, mask: number): string =>
  `MARK --set-xmark ${mark(node.masqueradeMark)}/${mask === 0 ? '0x0' : mark(mask)}`;

const isMarked = (node: NodeContext, negated = ''): string =>
  `-m mark ${negated}--mark ${mark(node.masqueradeMark)}/${mark(node.masqueradeMark)}`;

/** The mark goes before MASQUERADE, lest it follow the packet through an encapsulating interface (k/k#78547). */
const postrouting = (node: NodeContext): readonly string[] => [
  rule({ matches: [isMarked(node, '! ')] }, 'RETURN'),
  rule({}, setMark(node, 0)),
  rule({ comment: 'kubernetes: leave with the address of this node' }, 'MASQUERADE --random-fully'),
];

/**
 * A packet that conntrack calls INVALID is not translated back: it would reach the client with the pod's address, and
 * the client's RST would kill the connection (k/k#74839).
 */
const forward = (node: NodeContext): readonly string[] => [
  ...(node.dropInvalid ? [rule({ matches: ['-m conntrack --ctstate INVALID'] }, 'DROP')] : []),
  rule({ comment: 'kubernetes: to a service, masqueraded', matches: [isMarked(node)] }, 'ACCEPT'),
  rule({ comment: 'kubernetes: known connections', matches: ['-m conntrack --ctstate RELATED,ESTABLISHED'] }, 'ACCEPT'),
];

/** Loopback is left out: a packet that goes to 127.0.0.1 cannot leave the node with that source (route_localnet). */
const toNodePorts = ({ family, nodePortAddresses }: NodeContext): readonly string[] => {
  const comment = 'kubernetes: node ports';
  if (nodePortAddresses === 'all') {
    return [rule({ destination: `! ${loopback(family)}`, comment, matches: [TO_LOCAL] }, NODEPORTS)];
  }
  return nodePortAddresses.map((ip) => rule({ destination: hostCidr(ip), comment }, NODEPORTS));
};
