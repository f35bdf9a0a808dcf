/** Objects of this backend, desired and installed. Data and constructors only. */
import type { KernelObject } from '../../dataplane/contract.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import type { Table } from '../xtables/names.ts';
import { type Chain, chainId, type Jump, type SharedChain } from '../xtables/objects.ts';
import type { Sysctl } from '../xtables/sysctl.ts';

/** Destination that a line matches: an address and port, or a port on any address of the node. */
export interface Destination {
  readonly ip: string | undefined;
  readonly protocol: Protocol;
  readonly port: number;
}

/** A rule in a dispatch chain, found by its destination. */
export interface Line {
  readonly table: Table;
  readonly chain: string;
  readonly to: Destination;
  readonly rule: string;
}

/** A frontend (address and port) with all its lines: the unit that is granted to one of several Services. */
export interface Frontend extends KernelObject {
  readonly kind: 'frontend';
  readonly lines: readonly Line[];
}

/** A dispatch chain, with the rules at its end for packets that no line matched. */
export interface Trunk extends KernelObject {
  readonly kind: 'trunk';
  readonly table: Table;
  readonly chain: string;
  readonly rules: readonly string[];
}

/** Objects as installed in the kernel. */
export type Held = Chain | Jump | SharedChain | Sysctl;

/** Objects as owners want them. The dispatch tree turns frontends and dispatch chains into chains. */
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
