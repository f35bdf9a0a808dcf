/** What the kernel holds of iptables rules that are ours: chains, and jumps from built-in chains. Data only. */
import type { KernelObject } from '../../dataplane/contract.ts';
import { isOurs, type Table } from './names.ts';

/** A chain of ours with its whole list of rules. */
export interface Chain extends KernelObject {
  readonly kind: 'chain';
  readonly table: Table;
  readonly name: string;
  readonly rules: readonly string[];
}

/** A chain that others use as we do: made where it is missing, and then neither emptied nor removed. */
export interface SharedChain extends KernelObject {
  readonly kind: 'shared-chain';
  readonly table: Table;
  readonly name: string;
}

/** A rule of ours in a chain that is not: in a built-in one, or in a shared one. */
export interface Jump extends KernelObject {
  readonly kind: 'jump';
  readonly table: Table;
  readonly chain: string;
  readonly rule: string;
  /** The rule as it was read, comment and all: what a deletion has to name. */
  readonly listed: string;
}

export const chainId = (table: Table, name: string): string => `${table} ${name}`;

export const chain = (table: Table, name: string, rules: readonly string[]): Chain => ({
  kind: 'chain',
  id: chainId(table, name),
  content: rules.join('\n'),
  table,
  name,
  rules,
});

const COMMENT = /-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+) /;
/** Free text, of others too: nothing in it is an option. */
const QUOTED = /"(?:[^"\\]|\\.)*"/g;
const TARGET = / -[jg] (\S+)/;

/** The chain that a rule jumps or goes to, if any; built-in targets included. */
export const targetOf = (rule: string): string | undefined =>
  TARGET.exec(` ${rule.includes('"') ? rule.replace(QUOTED, '""') : rule}`)?.[1];

export const sharedChain = (table: Table, name: string): SharedChain => ({
  kind: 'shared-chain',
  id: chainId(table, name),
  content: '',
  stays: true,
  table,
  name,
});

/** Comments are free text, and differ between proxies. */
export const withoutComment = (rule: string): string => rule.replace(COMMENT, '');

/** A rule that others want as we do: it may be theirs, so it stays. */
export const sharedRule = (table: Table, from: string, rule: string): Jump => ({
  kind: 'jump',
  id: `${table} ${from} -> ${targetOf(rule)}`,
  content: withoutComment(rule),
  stays: true,
  table,
  chain: from,
  rule,
  listed: rule,
});

/** A jump is recognised by where it leads and what it matches. */
export const jump = (table: Table, from: string, listed: string, copy = 0): Jump => {
  const rule = withoutComment(listed);
  const id = `${table} ${from} -> ${targetOf(rule)}${copy === 0 ? '' : ` (copy ${copy})`}`;
  return { kind: 'jump', id, content: rule, table, chain: from, rule, listed };
};

/** Whether a rule of a built-in chain is ours: it leads to one of our chains. */
export const isOurJump = (table: Table, rule: string): boolean => {
  const target = targetOf(rule);
  return target !== undefined && isOurs(table, target);
};

/** The chain that an object is, or leads to: both come and go together. */
export const chainOf = (object: Chain | Jump | SharedChain): string =>
  object.kind === 'jump' ? (targetOf(object.rule) ?? '') : object.name;

/** As `iptables-restore` input, without the table around it. */
export const formatRule = (object: Chain | Jump | SharedChain): string => {
  if (object.kind === 'jump') return `-A ${object.chain} ${object.rule}`;
  const rules = object.kind === 'chain' ? object.rules : [];
  return [`:${object.name} - [0:0]`, ...rules.map((rule) => `-A ${object.name} ${rule}`)].join('\n');
};
