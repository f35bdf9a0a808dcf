/**
 * NodePorts on 127.0.0.1 (IPv4): the kernel setting and the guard that they need besides dispatch. Pure.
 *
 * A packet that the node sends to 127.0.0.1 can leave towards a pod only if the kernel routes loopback addresses
 * (route_localnet). With this setting neighbours on the node's network reach services that listen on 127.0.0.1 for the node
 * alone (CVE-2020-8558). The guard drops their packets: it is written before the setting, and stays as long.
 *
 * The kubelet makes the same guard, and looks for it word for word. So chain, rule and jumps are shared with the kubelet:
 * missing ones are added, and none is ever changed or removed.
 */
import type { NodeContext } from '../../model/node.ts';
import { FIREWALL } from '../xtables/names.ts';
import { type Jump, type SharedChain, sharedChain, sharedRule } from '../xtables/objects.ts';
import { loopback, rule } from '../xtables/rule.ts';
import { type Sysctl, sysctl } from '../xtables/sysctl.ts';

export const ROUTE_LOCALNET = 'net/ipv4/conf/all/route_localnet';

const NETWORK = loopback('IPv4');

/** Guard rule. Replies and packets that DNAT sent to a NodePort's endpoint pass. */
const GUARD = rule(
  {
    source: `! ${NETWORK}`,
    destination: NETWORK,
    comment: 'block incoming localnet connections',
    matches: ['-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT'],
  },
  'DROP',
);

/** Objects of the guard: a chain, its rule, and the jumps to it. */
export const GUARDS: readonly (SharedChain | Jump)[] = [
  sharedChain('filter', FIREWALL),
  sharedRule('filter', FIREWALL, GUARD),
  sharedRule('filter', 'INPUT', `-j ${FIREWALL}`),
  sharedRule('filter', 'OUTPUT', `-j ${FIREWALL}`),
];

export const localhostObjects = (node: NodeContext): readonly (SharedChain | Jump | Sysctl)[] =>
  node.nodePortsOnLoopback ? [...GUARDS, sysctl(ROUTE_LOCALNET, 1)] : [];
