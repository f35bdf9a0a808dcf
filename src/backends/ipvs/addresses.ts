/** Addresses of the node on which NodePorts answer. Pure. */
import type { NodeContext } from '../../model/node.ts';

/** Loopback is none: what comes from there cannot leave the node. Link-local ones are not unique. */
export const nodeIPs = ({ nodePortAddresses, localAddresses }: NodeContext): readonly string[] =>
  [...(nodePortAddresses === 'all' ? localAddresses : nodePortAddresses)].filter((ip) => !/^fe[89ab]/i.test(ip));
