/**
 * The iptables backend: the engine's contract over iptables-save and iptables-restore.
 *
 * Kernel objects are our chains (each with its whole list of rules) and the jumps in built-in chains. What Services want
 * are chains and frontends; the dispatch tree turns frontends into chains.
 */
import type { Backend, Change } from '../../dataplane/contract.ts';
import type { IptablesTools } from '../../kernel/iptables.ts';
import { IP_FAMILIES, type IPFamily } from '../../model/address.ts';
import { readRules, writeRules } from '../xtables/driver.ts';
import { type Chain, formatRule, type Jump } from '../xtables/objects.ts';
import { printRules } from '../xtables/print.ts';
import type { RestoreInput } from '../xtables/restore.ts';
import { atOnce, type InTurn, oneAtATime } from '../xtables/turns.ts';
import { base, jumpRank } from './base.ts';
import { compile } from './compile.ts';
import { Dispatch } from './dispatch.ts';
import type { Wish } from './objects.ts';
import { plan } from './plan.ts';

/** The nf_tables tool is quadratic in the size of one restore; the legacy tool copies the whole table for each. */
const MAX_RULES = { nft: 4_000, legacy: 60_000 } as const;
/**
 * A change of dispatch makes the nf_tables kernel check all chains that packets can reach (60 ms at 5,000 Services): so it
 * comes once in several pieces.
 */
const GROUP_SIZE = { nft: 6_000, legacy: 20_000 } as const;

export interface IptablesOptions {
  readonly family: IPFamily;
  /** Undefined where nothing is ever read or written (a dump). */
  readonly tools?: IptablesTools;
  /** When the tools run. */
  readonly inTurn?: InTurn;
  /** Hears of every restore, for counting. */
  readonly onRestore?: (input: RestoreInput) => void;
}

/**
 * The backends of both families. The nf_tables tool begins its listing anew whenever it finds another generation of the
 * ruleset, which all families share: under a stream of writes a look at the kernel would take a whole core and never end
 * (iptables 1.8.9). So there the tools run one at a time.
 */
export const iptablesBackends = (tools: IptablesTools): ReadonlyMap<IPFamily, Backend<Wish, RestoreInput>> => {
  const inTurn = tools.variant === 'nft' ? oneAtATime() : atOnce;
  return new Map(IP_FAMILIES.map((family) => [family, iptablesBackend({ family, tools, inTurn })]));
};

export const iptablesBackend = ({
  family,
  tools,
  inTurn = atOnce,
  onRestore,
}: IptablesOptions): Backend<Wish, RestoreInput> => {
  const tool = tools?.[family] ?? 'iptables';
  const variant = tools?.variant ?? 'nft';
  return {
    mode: 'iptables',
    groupSize: GROUP_SIZE[variant],
    base,
    compile,
    arranger: () => new Dispatch(family === 'IPv4' ? 32 : 128),
    plan: (changes) => plan(changes.filter(isOfKernel), MAX_RULES[variant]),
    format,
    print: (sections) => [{ tool: 'iptables', text: printRules(sections, jumpRank) }],
    read: () => inTurn(() => readRules(tool)),
    apply: async ({ payload }) => {
      onRestore?.(payload);
      await inTurn(() => writeRules(tool, payload));
    },
  };
};

/** By now frontends and trunks have become chains. */
const isOfKernel = (change: Change<Wish>): change is Change<Chain | Jump> =>
  change.object.kind === 'chain' || change.object.kind === 'jump';

const format = (object: Wish): string => {
  switch (object.kind) {
    case 'chain':
    case 'jump':
      return formatRule(object);
    case 'trunk':
      return object.rules.map((rule) => `-A ${object.chain} ${rule}`).join('\n');
    case 'frontend':
      return object.lines.map(({ chain, rule }) => `-A ${chain} ${rule}`).join('\n');
  }
};
