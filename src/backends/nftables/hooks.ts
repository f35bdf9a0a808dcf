/** Where the base chains stand: kube-proxy's hooks and priorities. */
import type { ChainHook } from '../../nftables-json/schema.ts';

const DESTINATION_NAT_PRIORITY = -100;
export const SOURCE_NAT_PRIORITY = 100;
const BEFORE_DNAT = -110;

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
} as const;

export type BaseChain = keyof typeof BASE_CHAINS;
