/** Source ranges of load-balancer IPs. Pure. */
import { cidrContains } from '../../model/address.ts';
import type { NodeContext } from '../../model/node.ts';
import type { ServiceEndpoints } from '../../model/topology.ts';
import type { SetProtocol } from '../../netlink/ipset.ts';
import { setDefinition } from './names.ts';
import { type Entry, entry } from './objects.ts';

/** Who may reach this VIP; nothing when everybody may. */
export const sourceRangeEntries = ({ port }: ServiceEndpoints, node: NodeContext, ip: string): readonly Entry[] => {
  const ranges = port.sourceRanges;
  if (ranges === undefined) return [];
  const to = { address: ip, protocol: port.name.protocol.toLowerCase() as SetProtocol, port: port.port };
  const { nodeIP, family } = node;
  // a packet of the node itself to a VIP that it holds has the VIP as its source
  const allowsNode = nodeIP !== undefined && ranges.some((cidr) => cidrContains(cidr, nodeIP));
  return [
    entry(setDefinition('LOAD-BALANCER-FW', family), to),
    ...ranges.map((cidr) => {
      const [second = ''] = cidr.text.split('/');
      return entry(setDefinition('LOAD-BALANCER-SOURCE-CIDR', family), { ...to, second, prefix: cidr.prefix });
    }),
    ...(allowsNode ? [entry(setDefinition('LOAD-BALANCER-SOURCE-IP', family), { ...to, second: ip })] : []),
  ];
};
