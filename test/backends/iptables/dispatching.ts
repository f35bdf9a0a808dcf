/** Frontends in numbers, the dispatch tree made of them, and the flat lists that it must be equal to. */
import { base } from '../../../src/backends/iptables/base.ts';
import { Dispatch } from '../../../src/backends/iptables/dispatch.ts';
import { NODEPORTS } from '../../../src/backends/iptables/names.ts';
import {
  type DesiredIptablesObject,
  type FrontendLines,
  frontendLines,
  type PacketDestination,
} from '../../../src/backends/iptables/objects.ts';
import { SERVICES } from '../../../src/backends/xtables/names.ts';
import { chain, chainId } from '../../../src/backends/xtables/objects.ts';
import { hostCidr, rule } from '../../../src/backends/xtables/rule.ts';
import type { Change } from '../../../src/dataplane/contract.ts';
import { diff } from '../../../src/dataplane/desired.ts';
import { KernelState } from '../../../src/dataplane/state.ts';
import { type IPFamily, joinHostPort } from '../../../src/model/address.ts';
import type { NodeContext } from '../../../src/model/node.ts';
import { NODE } from '../../dataplane/fake-backend.ts';

export const nodeOf = (family: IPFamily): NodeContext => ({
  ...NODE,
  family,
  nodePortsOnLoopback: family === 'IPv4',
});

export const LOCAL: Readonly<Record<IPFamily, string>> = { IPv4: '10.250.0.1', IPv6: 'fd50::1' };

const bits = (family: IPFamily): 32 | 128 => (family === 'IPv4' ? 32 : 128);

/** Where traffic for the n-th frontend ends: an address of its own. */
export const endOf = (n: number, family: IPFamily): string =>
  family === 'IPv4' ? `172.16.${n >> 8}.${n & 255}:8080` : joinHostPort(`fd20::${n.toString(16)}`, 8080);

/** A frontend that leads straight to an address of its own; on any address of the node when it names none. */
export const frontendTo = (to: PacketDestination, n: number, family: IPFamily): FrontendLines => {
  const name = to.ip === undefined ? NODEPORTS : SERVICES;
  const where = to.ip === undefined ? {} : { destination: hostCidr(to.ip) };
  const text = rule({ ...where, protocol: to.protocol, port: to.port }, `DNAT --to-destination ${endOf(n, family)}`);
  return frontendLines(idOf(to), [{ table: 'nat', chain: name, to, rule: text }]);
};

export const idOf = ({ ip, protocol, port }: PacketDestination): string => `${ip ?? 'node'} ${protocol} ${port}`;

/** The kernel's side of a dispatch tree, as the engine keeps it. */
export class Tree {
  readonly state: KernelState<DesiredIptablesObject>;
  readonly family: IPFamily;

  constructor(family: IPFamily) {
    this.family = family;
    this.state = new KernelState<DesiredIptablesObject>(new Dispatch(bits(family)));
    this.state.stage('base', base(nodeOf(family)));
  }

  put(to: PacketDestination, n: number): void {
    this.state.stage(idOf(to), { owner: idOf(to), since: n, objects: [frontendTo(to, n, this.family)] });
  }

  remove(to: PacketDestination): void {
    this.state.stage(idOf(to), undefined);
  }

  /** What has to be written, taken as written. */
  write(): readonly Change<DesiredIptablesObject>[] {
    const changes = diff(this.state.have, this.state.want);
    this.state.applied(changes.map(({ object }) => object.id));
    this.state.settled();
    return changes;
  }

  get objects(): readonly DesiredIptablesObject[] {
    return [...this.state.want.values()];
  }
}

export const treeOf = (all: readonly PacketDestination[], family: IPFamily): Tree => {
  const tree = new Tree(family);
  for (const [n, to] of all.entries()) tree.put(to, n);
  tree.write();
  return tree;
};

/** How much a list of changes makes the tool write: chains, and the rules in them. */
export const costOf = (
  changes: readonly Change<DesiredIptablesObject>[],
): { readonly chains: number; readonly rules: number } => ({
  chains: changes.length,
  rules: changes.reduce(
    (sum, { op, object }) => sum + (op !== 'remove' && object.kind === 'chain' ? object.rules.length : 0),
    0,
  ),
});

/** The same wishes with each dispatch chain as one list: what the tree must be equal to. */
export const flatten = (wishes: readonly DesiredIptablesObject[]): readonly DesiredIptablesObject[] => {
  const rules = new Map<
    string,
    { readonly wish: DesiredIptablesObject & { readonly kind: 'trunk' }; readonly lines: string[] }
  >();
  for (const wish of wishes) if (wish.kind === 'trunk') rules.set(chainId(wish.table, wish.chain), { wish, lines: [] });
  for (const wish of wishes) {
    if (wish.kind !== 'frontend') continue;
    for (const line of wish.lines) rules.get(chainId(line.table, line.chain))?.lines.push(line.rule);
  }
  return [
    ...wishes.filter(({ kind }) => kind !== 'trunk' && kind !== 'frontend'),
    ...[...rules.values()].map(({ wish, lines }) => chain(wish.table, wish.chain, [...lines, ...wish.rules])),
  ];
};

/** Numbers that look random and are the same every time (a linear congruential generator). */
export const numbers = (seed: number): ((below: number) => number) => {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};
