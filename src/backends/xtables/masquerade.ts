/** Rules of the masquerade mark: setting it, masquerading in POSTROUTING, and accepting marked packets in FORWARD. Pure. */
import type { NodeContext } from '../../model/node.ts';
import { mark, rule } from './rule.ts';

const setMark = (node: NodeContext, mask: number): string =>
  `MARK --set-xmark ${mark(node.masqueradeMark)}/${mask === 0 ? '0x0' : mark(mask)}`;

const isMarked = (node: NodeContext, negated = ''): string =>
  `-m mark ${negated}--mark ${mark(node.masqueradeMark)}/${mark(node.masqueradeMark)}`;

/** Rules of KUBE-MARK-MASQ. */
export const markMasquerade = (node: NodeContext): readonly string[] => [rule({}, setMark(node, node.masqueradeMark))];

/**
 * Rules of KUBE-POSTROUTING. The mark is cleared before MASQUERADE: a packet that keeps it is masqueraded again behind an
 * encapsulating interface (k/k#78547).
 */
export const masquerade = (node: NodeContext): readonly string[] => [
  rule({ matches: [isMarked(node, '! ')] }, 'RETURN'),
  rule({}, setMark(node, 0)),
  rule({ comment: 'kubernetes: leave with the address of this node' }, 'MASQUERADE --random-fully'),
];

/** Rules of KUBE-FORWARD. */
export const forwardMarked = (node: NodeContext): readonly string[] => [
  rule({ comment: 'kubernetes: to a service, masqueraded', matches: [isMarked(node)] }, 'ACCEPT'),
  rule({ comment: 'kubernetes: known connections', matches: ['-m conntrack --ctstate RELATED,ESTABLISHED'] }, 'ACCEPT'),
];
