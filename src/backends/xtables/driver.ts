/** Reads and writes rules with iptables-save and iptables-restore, as kernel objects of the contract. */
import type { KernelError } from '../../dataplane/contract.ts';
import { newMutex } from '../../dataplane/mutex.ts';
import { type IptablesTools, restore, save, saveCounters } from '../../kernel/iptables.ts';
import type { IptablesFailure } from '../../kernel/iptables-failure.ts';
import type { IPFamily } from '../../model/address.ts';
import { refused } from '../kernel-error.ts';
import type { TableName } from './names.ts';
import type { Jump, XtablesChain } from './objects.ts';
import { SaveParser } from './parse.ts';
import type { RestoreInput } from './restore.ts';

/** Access to the rules of one IP family. Both functions throw KernelError. */
export interface RulesDriver {
  read(): Promise<ReadonlyMap<string, XtablesChain | Jump>>;
  write(input: RestoreInput): Promise<void>;
}

/**
 * The tools of both families run one at a time. Beside a stream of writes the nf_tables tool restarts its listing for ever,
 * and the legacy tool waits for the xtables lock.
 */
export const rulesDrivers = ({ IPv4, IPv6 }: IptablesTools): Readonly<Record<IPFamily, RulesDriver>> => {
  const inTurn = newMutex();
  const rules = (tool: string): RulesDriver => ({
    read: () => inTurn(() => readRules(tool)),
    write: (input) => inTurn(() => writeRules(tool, input)),
  });
  return { IPv4: rules(IPv4), IPv6: rules(IPv6) };
};

/** Chains and jumps of ours, by id. Throws KernelError. */
const readRules = async (tool: string): Promise<ReadonlyMap<string, XtablesChain | Jump>> => {
  const parser = new SaveParser();
  await listRules(tool, (line) => parser.push(line));
  return parser.objects;
};

/** Passes on every line that the tool lists. Throws KernelError. */
export const listRules = async (tool: string, onLine: (line: string) => void): Promise<void> => {
  const failed = await save(tool, onLine);
  if (failed !== undefined) throw unread(failed);
};

/** Passes on every line of a table, rules with their counters. Throws KernelError. */
export const listCounters = async (tool: string, table: TableName, onLine: (line: string) => void): Promise<void> => {
  const failed = await saveCounters(tool, table, onLine);
  if (failed !== undefined) throw unread(failed);
};

/** Runs one restore. Throws KernelError. */
export const writeRules = async (tool: string, input: RestoreInput): Promise<void> => {
  const failed = await restore(tool, input.text);
  if (failed !== undefined) throw unwritten(failed, input);
};

/** Failed reads have no suspects: no object of ours can be the cause. */
const unread = ({ message }: IptablesFailure): KernelError =>
  refused([{ cause: { scope: 'environment' }, message, suspects: [] }]);

const unwritten = (failure: IptablesFailure, { text }: RestoreInput): KernelError =>
  refused([{ cause: failure, message: failure.message, suspects: suspects(text, failure.line) }]);

/** The id of the chain that the refused line of input names. A refused COMMIT names none. */
const suspects = (text: string, line: number | undefined): readonly string[] => {
  if (line === undefined) return [];
  const before = text.split('\n').slice(0, line);
  const table = before.findLast((l) => l.startsWith('*'))?.slice(1);
  const chain = /^(?::|-[AX] )(\S+)/.exec(before.at(-1) ?? '')?.[1];
  return table === undefined || chain === undefined ? [] : [`${table} ${chain}`];
};
