/** Addresses of the node on which NodePorts answer in mode ipvs. Pure. */
import type { NodeContext } from '../../model/node.ts';

/** Link-local addresses are left out: they are not unique. Loopback is not among them, as its packets cannot leave the node. */
export const nodeIPs = ({ nodePortAddresses, localAddresses }: NodeContext): readonly string[] =>
  [...(nodePortAddresses === 'all' ? localAddresses : nodePortAddresses)].filter((ip) => !/^fe[89ab]/i.test(ip));
