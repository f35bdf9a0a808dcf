/**
 * NodePorts on 127.0.0.1 (IPv4): what they take besides rules of dispatch. Pure.
 *
 * A packet that the node sends to 127.0.0.1 can leave it towards a pod only if the kernel routes loopback addresses
 * (route_localnet). With that on, neighbours on the node's network reach 127.0.0.1 too, and whatever listens there for the
 * node alone (CVE-2020-8558): hence the guard, which is in force before the setting is written and stays as that does. The
 * kubelet makes the same guard, so it is written word for word as the kubelet looks for it, and chain, rule and jumps are
 * as much the kubelet's as ours: what is missing of them is put in, and nothing there is ever changed or removed.
 */
import type { NodeContext } from '../../model/node.ts';
import { FIREWALL } from '../xtables/names.ts';
import { type Jump, type SharedChain, sharedChain, sharedRule } from '../xtables/objects.ts';
import { loopback, rule } from '../xtables/rule.ts';
import { type Sysctl, sysctl } from '../xtables/sysctl.ts';

export const ROUTE_LOCALNET = 'net/ipv4/conf/all/route_localnet';

const NETWORK = loopback('IPv4');

/** Answers come from loopback too, and what was sent to a NodePort is known to be translated. */
const GUARD = rule(
  {
    source: `! ${NETWORK}`,
    destination: NETWORK,
    comment: 'block incoming localnet connections',
    matches: ['-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT'],
  },
  'DROP',
);

/** The guard: a chain, its rule, and the jumps that lead there. */
export const GUARDS: readonly (SharedChain | Jump)[] = [
  sharedChain('filter', FIREWALL),
  sharedRule('filter', FIREWALL, GUARD),
  sharedRule('filter', 'INPUT', `-j ${FIREWALL}`),
  sharedRule('filter', 'OUTPUT', `-j ${FIREWALL}`),
];

export const localhostObjects = (node: NodeContext): readonly (SharedChain | Jump | Sysctl)[] =>
  node.nodePortsOnLoopback ? [...GUARDS, sysctl(ROUTE_LOCALNET, 1)] : [];
