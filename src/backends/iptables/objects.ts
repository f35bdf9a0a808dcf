/** The objects of this backend: what owners want, and what the kernel holds. Data and constructors only. */
import type { KernelObject } from '../../dataplane/contract.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import type { Table } from '../xtables/names.ts';
import { type Chain, chainId, type Jump, type SharedChain } from '../xtables/objects.ts';
import type { Sysctl } from '../xtables/sysctl.ts';

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

/** What the kernel holds. */
export type Held = Chain | Jump | SharedChain | Sysctl;

/** What owners want; frontends and trunks become chains. */
export type Wish = Held | Frontend | Trunk;

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
