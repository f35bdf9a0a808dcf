/** The masquerade mark: how it is set, what it does where packets leave, and that they may pass. Pure. */
import type { NodeContext } from '../../model/node.ts';
import { mark, rule } from './rule.ts';

const setMark = (node: NodeContext, mask: number): string =>
  `MARK --set-xmark ${mark(node.masqueradeMark)}/${mask === 0 ? '0x0' : mark(mask)}`;

const isMarked = (node: NodeContext, negated = ''): string =>
  `-m mark ${negated}--mark ${mark(node.masqueradeMark)}/${mark(node.masqueradeMark)}`;

/** KUBE-MARK-MASQ */
export const markMasquerade = (node: NodeContext): readonly string[] => [rule({}, setMark(node, node.masqueradeMark))];

/** KUBE-POSTROUTING. The mark goes before MASQUERADE, lest it follow the packet through an encapsulating interface (k/k#78547). */
export const masquerade = (node: NodeContext): readonly string[] => [
  rule({ matches: [isMarked(node, '! ')] }, 'RETURN'),
  rule({}, setMark(node, 0)),
  rule({ comment: 'kubernetes: leave with the address of this node' }, 'MASQUERADE --random-fully'),
];

/** KUBE-FORWARD */
export const forwardMarked = (node: NodeContext): readonly string[] => [
  rule({ comment: 'kubernetes: to a service, masqueraded', matches: [isMarked(node)] }, 'ACCEPT'),
  rule({ comment: 'kubernetes: known connections', matches: ['-m conntrack --ctstate RELATED,ESTABLISHED'] }, 'ACCEPT'),
];
