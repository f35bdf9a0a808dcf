/**
 * The iptables backend: the engine's contract over iptables-save and iptables-restore.
 *
 * Kernel objects are our chains (each with its whole list of rules) and the jumps in built-in chains. What Services want
 * are chains and frontends; the dispatch tree turns frontends into chains.
 */
import { type Backend, type Batch, type Change, KernelError } from '../../dataplane/contract.ts';
import { type IptablesFailure, type IptablesTools, restore, save } from '../../kernel/iptables.ts';
import type { IPFamily } from '../../model/address.ts';
import { base } from './base.ts';
import { compile } from './compile.ts';
import { Dispatch } from './dispatch.ts';
import type { Chain, Jump, Wish } from './objects.ts';
import { SaveParser } from './parse.ts';
import { plan, type RestoreInput } from './plan.ts';
import { print } from './print.ts';

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
  /** Hears of every restore, for counting. */
  readonly onRestore?: (input: RestoreInput) => void;
}

export const iptablesBackend = ({ family, tools, onRestore }: IptablesOptions): Backend<Wish, RestoreInput> => {
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
    print: (sections) => [{ tool: 'iptables', text: print(sections) }],
    read: async () => {
      const parser = new SaveParser();
      const failed = await save(tool, (line) => parser.push(line));
      if (failed !== undefined) throw toKernelError(failed, undefined);
      return parser.objects;
    },
    apply: async (batch) => {
      onRestore?.(batch.payload);
      const failed = await restore(tool, batch.payload.text);
      if (failed !== undefined) throw toKernelError(failed, batch);
    },
  };
};

/** By now frontends and trunks have become chains. */
const isOfKernel = (change: Change<Wish>): change is Change<Chain | Jump> =>
  change.object.kind === 'chain' || change.object.kind === 'jump';

const format = (object: Wish): string => {
  switch (object.kind) {
    case 'chain':
      return [`:${object.name} - [0:0]`, ...object.rules.map((rule) => `-A ${object.name} ${rule}`)].join('\n');
    case 'jump':
      return `-A ${object.chain} ${object.rule}`;
    case 'trunk':
      return object.rules.map((rule) => `-A ${object.chain} ${rule}`).join('\n');
    case 'frontend':
      return object.lines.map(({ chain, rule }) => `-A ${chain} ${rule}`).join('\n');
  }
};

const toKernelError = (failure: IptablesFailure, batch: Batch<RestoreInput> | undefined): KernelError => {
  if (failure.reason !== 'failed' || batch === undefined) return new KernelError('environment', failure.message);
  return new KernelError('content', failure.message, suspects(batch.payload.text, failure.line));
};

/** The chain that the refused line of input is about. The line may be a COMMIT: then nobody is named. */
const suspects = (text: string, line: number | undefined): readonly string[] => {
  if (line === undefined) return [];
  const before = text.split('\n').slice(0, line);
  const table = before.findLast((l) => l.startsWith('*'))?.slice(1);
  const chain = /^(?::|-[AX] )(\S+)/.exec(before.at(-1) ?? '')?.[1];
  return table === undefined || chain === undefined ? [] : [`${table} ${chain}`];
};
