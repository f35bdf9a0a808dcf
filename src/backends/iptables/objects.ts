/** The objects of this backend: what owners want, and what the kernel holds. Data and constructors only. */
import type { KernelObject } from '../../dataplane/contract.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import { isOurs, type Table } from './names.ts';

/** A chain of ours with its whole list of rules. */
export interface Chain extends KernelObject {
  readonly kind: 'chain';
  readonly table: Table;
  readonly name: string;
  readonly rules: readonly string[];
}

/** A rule of ours in a built-in chain. */
export interface Jump extends KernelObject {
  readonly kind: 'jump';
  readonly table: Table;
  readonly chain: string;
  readonly rule: string;
  /** The rule as it was read, comment and all: what a deletion has to name. */
  readonly listed: string;
}

/** Where a packet must be going for a line to count: an address and port, or a port on any address of the node. */
export interface Destination {
  readonly ip: string | undefined;
  readonly protocol: Protocol;
  readonly port: number;
}

/** One rule in a dispatch chain, found by its destination. */
export interface Line {
  readonly table: Table;
  readonly chain: string;
  readonly to: Destination;
  readonly rule: string;
}

/** One address and port of a service port, with all rules that are about it: what two Services can both want. */
export interface Frontend extends KernelObject {
  readonly kind: 'frontend';
  readonly lines: readonly Line[];
}

/** A dispatch chain, and the rules at its end that packets reach which no line took. */
export interface Trunk extends KernelObject {
  readonly kind: 'trunk';
  readonly table: Table;
  readonly chain: string;
  readonly rules: readonly string[];
}

/** What owners want; frontends and trunks become chains. */
export type Wish = Chain | Jump | Frontend | Trunk;

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

/** A jump is recognised by where it leads and what it matches: comments are free text, and differ between proxies. */
export const jump = (table: Table, from: string, listed: string, copy = 0): Jump => {
  const rule = listed.replace(COMMENT, '');
  const id = `${table} ${from} -> ${targetOf(rule)}${copy === 0 ? '' : ` (copy ${copy})`}`;
  return { kind: 'jump', id, content: rule, table, chain: from, rule, listed };
};

/** Whether a rule of a built-in chain is ours: it leads to one of our chains. */
export const isOurJump = (table: Table, rule: string): boolean => {
  const target = targetOf(rule);
  return target !== undefined && isOurs(table, target);
};

export const frontend = (id: string, lines: readonly Line[]): Frontend => ({
  kind: 'frontend',
  id,
  content: lines.map(({ table, chain: name, rule }) => `${table} ${name} ${rule}`).join('\n'),
  lines,
});

export const trunk = (table: Table, name: string, rules: readonly string[]): Trunk => ({
  kind: 'trunk',
  id: `trunk ${chainId(table, name)}`,
  content: rules.join('\n'),
  table,
  chain: name,
  rules,
});
