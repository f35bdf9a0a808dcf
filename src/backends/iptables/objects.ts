/** Objects of this backend, desired and installed. Data and constructors only. */
import type { KernelObject } from '../../dataplane/contract.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import type { TableName } from '../xtables/names.ts';
import { chainId, type Jump, type SharedChain, type XtablesChain } from '../xtables/objects.ts';
import type { Sysctl } from '../xtables/sysctl.ts';

/** Destination that a line matches: an address and port, or a port on any address of the node. */
export interface PacketDestination {
  readonly ip: string | undefined;
  readonly protocol: Protocol;
  readonly port: number;
}

/** A rule in a dispatch chain, found by its destination. */
export interface DispatchLine {
  readonly table: TableName;
  readonly chain: string;
  readonly to: PacketDestination;
  readonly rule: string;
}

/** A frontend (address and port) with all its lines: the unit that is granted to one of several Services. */
export interface FrontendLines extends KernelObject {
  readonly kind: 'frontend';
  readonly lines: readonly DispatchLine[];
}

/** A dispatch chain, with the rules at its end for packets that no line matched. */
export interface DispatchChain extends KernelObject {
  readonly kind: 'trunk';
  readonly table: TableName;
  readonly chain: string;
  readonly rules: readonly string[];
}

/** Objects as installed in the kernel. */
export type IptablesObject = XtablesChain | Jump | SharedChain | Sysctl;

/** Objects as owners want them. The dispatch tree turns frontends and dispatch chains into chains. */
export type DesiredIptablesObject = IptablesObject | FrontendLines | DispatchChain;

export const frontendLines = (id: string, lines: readonly DispatchLine[]): FrontendLines => ({
  kind: 'frontend',
  id,
  content: lines.map(({ table, chain: name, rule }) => `${table} ${name} ${rule}`).join('\n'),
  lines,
});

export const dispatchChain = (table: TableName, name: string, rules: readonly string[]): DispatchChain => ({
  kind: 'trunk',
  id: `trunk ${chainId(table, name)}`,
  content: rules.join('\n'),
  table,
  chain: name,
  rules,
});
