/** Rules that every node has, whatever its Services: jumps from the built-in chains, masquerading, forwarding. Pure. */
import type { Fragment } from '../../dataplane/contract.ts';
import { LOOPBACK, type NodeContext } from '../../model/node.ts';
import { forwardMarked, markMasquerade, masquerade } from '../xtables/masquerade.ts';
import {
  FIREWALL,
  FORWARD,
  MARK_MASQ,
  POSTROUTING,
  PROXY_FIREWALL,
  SERVICES,
  type TableName,
} from '../xtables/names.ts';
import { chain, jump, targetOf } from '../xtables/objects.ts';
import type { JumpRank } from '../xtables/restore.ts';
import { hostCidr, loopback, NEW, rule, TO_LOCAL } from '../xtables/rule.ts';
import { localhostObjects } from './localhost.ts';
import { EXTERNAL_SERVICES, NODEPORTS } from './names.ts';
import { type DesiredIptablesObject, dispatchChain } from './objects.ts';

/** Jumps as [table, built-in chain, rule], in the order in which they are inserted on top, which is kube-proxy's. */
const JUMPS: readonly (readonly [TableName, string, string])[] = [
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

/** Jumps shared with the kubelet, inserted on top of all others where NodePorts answer on loopback. */
const SHARED_JUMPS: typeof JUMPS = [
  ['filter', 'INPUT', `-j ${FIREWALL}`],
  ['filter', 'OUTPUT', `-j ${FIREWALL}`],
];

const RANKED = [...JUMPS, ...SHARED_JUMPS];

/** Rank of a jump: the higher one is inserted later, on top. */
export const jumpRank: JumpRank = ({ table, chain: from, rule: text }) =>
  RANKED.findIndex(([t, c, r]) => t === table && c === from && r.endsWith(`-j ${targetOf(text)}`));

export const base = (node: NodeContext): Fragment<DesiredIptablesObject> => ({
  owner: 'base',
  since: 0,
  objects: [
    ...JUMPS.map(([table, from, text]) => jump(table, from, text)),
    chain('nat', MARK_MASQ, markMasquerade(node)),
    chain('nat', POSTROUTING, masquerade(node)),
    chain('filter', FORWARD, forward(node)),
    dispatchChain('nat', SERVICES, toNodePorts(node)),
    dispatchChain('nat', NODEPORTS, []),
    dispatchChain('filter', SERVICES, []),
    dispatchChain('filter', EXTERNAL_SERVICES, []),
    dispatchChain('filter', NODEPORTS, []),
    dispatchChain('filter', PROXY_FIREWALL, []),
    ...localhostObjects(node),
  ],
});

/**
 * Rules of KUBE-FORWARD. INVALID packets are dropped: conntrack does not translate them back, so they would reach the
 * client with the pod's address, and the client's RST would end the connection (k/k#74839).
 */
const forward = (node: NodeContext): readonly string[] => [
  ...(node.dropInvalid ? [rule({ matches: ['-m conntrack --ctstate INVALID'] }, 'DROP')] : []),
  ...forwardMarked(node),
];

/**
 * Rules that lead to KUBE-NODEPORTS. Loopback is left out unless localhost.ts enables it: a packet to loopback cannot leave
 * the node with its loopback source.
 */
const toNodePorts = ({ family, nodePortAddresses, nodePortsOnLoopback }: NodeContext): readonly string[] => {
  const comment = 'kubernetes: node ports';
  if (nodePortAddresses === 'all') {
    const where = nodePortsOnLoopback ? {} : { destination: `! ${loopback(family)}` };
    return [rule({ ...where, comment, matches: [TO_LOCAL] }, NODEPORTS)];
  }
  const addresses = [...nodePortAddresses, ...(nodePortsOnLoopback ? [LOOPBACK] : [])];
  return addresses.map((ip) => rule({ destination: hostCidr(ip), comment }, NODEPORTS));
};
