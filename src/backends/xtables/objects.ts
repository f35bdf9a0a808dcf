/** Kernel objects made of iptables rules: chains of ours, and jumps to them from built-in chains. Data only. */
import type { KernelObject } from '../../dataplane/contract.ts';
import { isOurs, type TableName } from './names.ts';

/** A chain of ours with all its rules. */
export interface XtablesChain extends KernelObject {
  readonly kind: 'chain';
  readonly table: TableName;
  readonly name: string;
  readonly rules: readonly string[];
}

/** A chain that the kubelet uses too: made where it is missing, never emptied or removed. */
export interface SharedChain extends KernelObject {
  readonly kind: 'shared-chain';
  readonly table: TableName;
  readonly name: string;
}

/** A rule of ours in a built-in or shared chain. */
export interface Jump extends KernelObject {
  readonly kind: 'jump';
  readonly table: TableName;
  readonly chain: string;
  readonly rule: string;
  /** The rule as listed, with its comment: a deletion has to repeat it. */
  readonly listed: string;
}

export const chainId = (table: TableName, name: string): string => `${table} ${name}`;

export const chain = (table: TableName, name: string, rules: readonly string[]): XtablesChain => ({
  kind: 'chain',
  id: chainId(table, name),
  content: rules.join('\n'),
  table,
  name,
  rules,
});

const COMMENT = /-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+) /;
/** Quoted text is free text (comments, also of other programs) and is not searched for options. */
const QUOTED = /"(?:[^"\\]|\\.)*"/g;
const TARGET = / -[jg] (\S+)/;

/** The chain that a rule jumps or goes to, if any; built-in targets included. */
export const targetOf = (rule: string): string | undefined =>
  TARGET.exec(` ${rule.includes('"') ? rule.replace(QUOTED, '""') : rule}`)?.[1];

export const sharedChain = (table: TableName, name: string): SharedChain => ({
  kind: 'shared-chain',
  id: chainId(table, name),
  content: '',
  stays: true,
  table,
  name,
});

/** Comments are left out of comparisons: they differ between proxies. */
export const withoutComment = (rule: string): string => rule.replace(COMMENT, '');

/** A rule that the kubelet wants too. It is never removed, since it may be the kubelet's. */
export const sharedRule = (table: TableName, from: string, rule: string): Jump => ({
  kind: 'jump',
  id: `${table} ${from} -> ${targetOf(rule)}`,
  content: withoutComment(rule),
  stays: true,
  table,
  chain: from,
  rule,
  listed: rule,
});

/** The id of a jump is its target. Its content is the rule without the comment. */
export const jump = (table: TableName, from: string, listed: string, copy = 0): Jump => {
  const rule = withoutComment(listed);
  const id = `${table} ${from} -> ${targetOf(rule)}${copy === 0 ? '' : ` (copy ${copy})`}`;
  return { kind: 'jump', id, content: rule, table, chain: from, rule, listed };
};

/** A rule of a built-in chain is ours if it leads to a chain of ours. */
export const isOurJump = (table: TableName, rule: string): boolean => {
  const target = targetOf(rule);
  return target !== undefined && isOurs(table, target);
};

/** The name of the chain that an object is or leads to: a chain and the jumps to it come and go together. */
export const chainOf = (object: XtablesChain | Jump | SharedChain): string =>
  object.kind === 'jump' ? (targetOf(object.rule) ?? '') : object.name;

/** Formats an object as `iptables-restore` input, without the lines of its table. */
export const formatRule = (object: XtablesChain | Jump | SharedChain): string => {
  if (object.kind === 'jump') return `-A ${object.chain} ${object.rule}`;
  const rules = object.kind === 'chain' ? object.rules : [];
  return [`:${object.name} - [0:0]`, ...rules.map((rule) => `-A ${object.name} ${rule}`)].join('\n');
};
