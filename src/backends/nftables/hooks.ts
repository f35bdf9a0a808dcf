/** Hooks and priorities of the base chains: kube-proxy's, and ours where it has none. */
import type { ChainHook } from '../../nftables-json/schema.ts';

const DESTINATION_NAT_PRIORITY = -100;
const SOURCE_NAT_PRIORITY = 100;
const BEFORE_DNAT = -110;
/** Priority behind all destination NAT. */
const AFTER_DNAT = -90;

const at = (type: ChainHook['type'], hook: ChainHook['hook'], prio: number): ChainHook => ({
  type,
  hook,
  prio,
  policy: 'accept',
});

export const BASE_CHAINS = {
  'filter-prerouting-pre-dnat': at('filter', 'prerouting', BEFORE_DNAT),
  'filter-output-pre-dnat': at('filter', 'output', BEFORE_DNAT),
  'filter-input': at('filter', 'input', 0),
  'filter-forward': at('filter', 'forward', 0),
  'filter-output': at('filter', 'output', 0),
  'nat-prerouting': at('nat', 'prerouting', DESTINATION_NAT_PRIORITY),
  'nat-output': at('nat', 'output', DESTINATION_NAT_PRIORITY),
  'nat-postrouting': at('nat', 'postrouting', SOURCE_NAT_PRIORITY),
  // before masquerading, which ends the evaluation of nat chains
  'affinity-input': at('nat', 'input', SOURCE_NAT_PRIORITY - 1),
  'affinity-postrouting': at('nat', 'postrouting', SOURCE_NAT_PRIORITY - 1),
  'traffic-prerouting': at('filter', 'prerouting', AFTER_DNAT),
  'traffic-output': at('filter', 'output', AFTER_DNAT),
  'traffic-input': at('nat', 'input', SOURCE_NAT_PRIORITY - 2),
  'traffic-postrouting': at('nat', 'postrouting', SOURCE_NAT_PRIORITY - 2),
} as const;

export type BaseChain = keyof typeof BASE_CHAINS;
