/** What the tests of nf_tables share: a table as it was written against the table as it is read. */
import { expect } from 'vitest';
import type { Nftables } from '../../src/nftables-json/nftables.ts';
import type { Command, Element, Rule, SetDeclaration } from '../../src/nftables-json/schema.ts';
import { fieldsOf } from '../../src/nftables-json/types.ts';

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** Elements in an order of their own, and without what is left of their time. */
const sorted = (elements: readonly Element[]): readonly unknown[] =>
  elements
    .map((one) => JSON.parse(JSON.stringify(one, (name, value: unknown) => (name === 'expires' ? undefined : value))))
    .sort(byText);

export const elementsOf = async (nftables: Nftables, set: SetDeclaration): Promise<readonly Element[]> => {
  const elements: Element[] = [];
  expect(await nftables.visit(set, (one) => elements.push(one))).toBe(true);
  return elements;
};

/** What of these commands is listed: rules, chains, declarations, elements by set. */
const declaredBy = (commands: readonly Command[]) => {
  const added = commands.flatMap((command) => ('add' in command ? [command.add] : []));
  return {
    chains: added.flatMap((one) => ('chain' in one ? [one.chain] : [])),
    rules: added.flatMap((one) => ('rule' in one ? [one.rule] : [])),
    sets: added.flatMap((one) => ('set' in one ? [one.set] : 'map' in one ? [one.map] : [])),
    elements: (name: string) =>
      added.flatMap((one) => ('element' in one && one.element.name === name ? one.element.elem : [])),
  };
};

/** Chains of the table one by one: the kernel gives rules chain by chain, in the order in which the chains were made. */
export const byChain = (rules: readonly Rule[]): Readonly<Record<string, readonly Rule['expr'][]>> => {
  const chains: Record<string, Rule['expr'][]> = {};
  for (const { chain, expr } of rules) {
    chains[chain] ??= [];
    chains[chain].push(expr);
  }
  return chains;
};

/** Flags have no order, and a type that has a name is read by it, however it was declared. */
const normal = ({ type, flags, ...set }: SetDeclaration): SetDeclaration => {
  const fields = fieldsOf(type);
  const named = typeof type === 'object' && 'typeof' in type && !fields.includes('integer') ? fields : type;
  return { ...set, type: named, ...(flags === undefined ? {} : { flags: [...flags].sort() }) };
};

const byName = (sets: readonly SetDeclaration[]): Readonly<Record<string, SetDeclaration>> =>
  Object.fromEntries(sets.map((set) => [set.name, normal(set)]));

export const expectWritten = async (nftables: Nftables, table: string, commands: readonly Command[]): Promise<void> => {
  const { chains, rules, sets, elements } = declaredBy(commands);
  const [first] = chains;
  const listing = nftables.list(first?.family ?? 'ip', table);
  expect(listing?.chains).toEqual(chains);
  expect(byChain(listing?.rules ?? [])).toEqual(byChain(rules));
  expect(byName(listing?.sets.map(({ declaration }) => declaration) ?? [])).toEqual(byName(sets));
  expect(listing?.sets.filter(({ isKnown }) => !isKnown)).toEqual([]);
  for (const set of sets) expect(sorted(await elementsOf(nftables, set))).toEqual(sorted(elements(set.name)));
};
