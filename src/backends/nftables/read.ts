/** The kernel's table to objects, in listing form. */

import { concat } from '../../nftables-json/construct.ts';
import { keyOf } from '../../nftables-json/elements.ts';
import type { TableListing } from '../../nftables-json/listing.ts';
import type { Nftables } from '../../nftables-json/nftables.ts';
import type {
  Chain as ChainDeclaration,
  Concat,
  Expression,
  Element as NftElement,
  SetDeclaration,
  Statement,
} from '../../nftables-json/schema.ts';
import { formatExpression, formatHook, formatShape } from '../../nftables-json/text.ts';
import { BASE_CHAINS, type BaseChain } from './hooks.ts';
import type { Held } from './members.ts';
import {
  CLUSTER_IPS,
  declarations,
  frontendSet,
  HAIRPIN,
  KEY_FIELDS,
  type NftFamily,
  NODEPORT_IPS,
  readSticky,
  stickyDeclaration,
  TABLE,
} from './names.ts';
import {
  chain,
  element,
  frontend,
  type Member,
  type NftObject,
  OTHER_SHAPE,
  set,
  slotMember,
  type Target,
  table,
} from './objects.ts';

export interface Found {
  readonly objects: ReadonlyMap<string, NftObject>;
  readonly held: ReadonlyMap<string, Held>;
  /** Nobody wrote to the sets while they were read. */
  readonly isWhole: boolean;
}

const NOTHING: Found = { objects: new Map(), held: new Map(), isWhole: true };

const PLAIN_SETS = [CLUSTER_IPS, NODEPORT_IPS, HAIRPIN];

/** Throws NetlinkError. */
export const readTable = async (nftables: Nftables, family: NftFamily): Promise<Found> => {
  const listing = nftables.list(family, TABLE);
  if (listing === undefined) return NOTHING;
  // what has our name and another shape cannot be mended in place
  if (hasOtherShape(listing, family)) return { ...NOTHING, objects: byId([table(family, OTHER_SHAPE)]) };
  const objects: NftObject[] = [
    table(family),
    ...listing.sets.map(({ declaration }) => set(declaration)),
    ...chains(listing),
  ];
  const frontends = new Map<string, Collected>();
  let isWhole = true;
  for (const { declaration } of listing.sets) {
    const take = taker(declaration.name, objects, frontends);
    if (take !== undefined) isWhole = (await nftables.visit(declaration, take)) && isWhole;
  }
  const held = new Map<string, Held>();
  for (const collected of frontends.values()) {
    const [object, what] = finish(collected, family);
    objects.push(object);
    held.set(object.id, what);
  }
  return { objects: byId(objects), held, isWhole };
};

const byId = (objects: readonly NftObject[]): ReadonlyMap<string, NftObject> =>
  new Map(objects.map((object) => [object.id, object]));

const hasOtherShape = ({ sets, chains: found }: TableListing, family: NftFamily): boolean => {
  const ours = new Map(declarations(family).map((declaration) => [declaration.name, declaration]));
  const wanted = (name: string): SetDeclaration | undefined => {
    const sticky = readSticky(name);
    return sticky === undefined ? ours.get(name) : stickyDeclaration(sticky.space, family, sticky.seconds);
  };
  const differs = (declaration: SetDeclaration): boolean => {
    const shape = wanted(declaration.name);
    return shape !== undefined && formatShape(shape) !== formatShape(declaration);
  };
  return sets.some(({ declaration }) => differs(declaration)) || found.some(hasOtherHook);
};

const hasOtherHook = (declaration: ChainDeclaration): boolean => {
  const ours = BASE_CHAINS[declaration.name as BaseChain];
  return ours !== undefined && formatHook({ ...declaration, ...ours }) !== formatHook(declaration);
};

const chains = (listing: TableListing): readonly NftObject[] => {
  const rules = new Map<string, (readonly Statement[])[]>(listing.chains.map(({ name }) => [name, []]));
  for (const rule of listing.rules) rules.get(rule.chain)?.push(rule.expr);
  return listing.chains.map((declaration) => chain(declaration, rules.get(declaration.name) ?? []));
};

/** A frontend as its elements turn up, set by set. */
interface Collected {
  readonly key: Concat;
  readonly members: Member[];
  readonly slots: Map<string, (Target | undefined)[]>;
}

/** What to do with the elements of a set; undefined = nothing: they come and go by themselves, or go with their set. */
const taker = (
  name: string,
  objects: NftObject[],
  frontends: Map<string, Collected>,
): ((found: NftElement) => void) | undefined => {
  if (PLAIN_SETS.includes(name)) return (found) => objects.push(element({ set: name, element: found }));
  const shape = frontendSet(name);
  if (shape === undefined) return undefined;
  const fields = KEY_FIELDS[shape.space];
  return (found) => {
    const parts = keyParts(found);
    const collected = collectedAt(frontends, parts.slice(0, fields));
    if (!shape.hasSlots) collected.members.push({ set: name, element: found });
    else putSlot(collected, name, Number(parts[fields]), found);
  };
};

const keyParts = (found: NftElement): readonly Expression[] => {
  const key = keyOf(found);
  const bare: Expression = typeof key === 'object' && 'elem' in key ? key.elem.val : key;
  return typeof bare === 'object' && 'concat' in bare ? bare.concat : [bare];
};

const collectedAt = (frontends: Map<string, Collected>, parts: readonly Expression[]): Collected => {
  const text = parts.map(formatExpression).join(' . ');
  let collected = frontends.get(text);
  if (collected === undefined) {
    collected = { key: concat(...parts), members: [], slots: new Map() };
    frontends.set(text, collected);
  }
  return collected;
};

/** More than the API allows a Service: a slot far behind is somebody's mistake, and no reason for a list of that length. */
const MAX_SLOT = 100_000;

const putSlot = (collected: Collected, name: string, slot: number, found: NftElement): void => {
  if (slot > MAX_SLOT) {
    collected.members.push({ set: name, element: found });
    return;
  }
  let slots = collected.slots.get(name);
  if (slots === undefined) {
    slots = [];
    collected.slots.set(name, slots);
  }
  slots[slot] = dataText(found);
};

const dataText = (found: NftElement): Target => {
  const [, data] = found as readonly [Expression, Expression];
  return formatExpression(data);
};

/** A list with gaps or doubles is none that we wrote: its elements stand for themselves, and are replaced. */
const finish = ({ key, members, slots }: Collected, family: NftFamily): readonly [NftObject, Held] => {
  const lists = new Map<string, readonly Target[]>();
  const odd: Member[] = [];
  for (const [name, targets] of slots) {
    const dense = Array.from(targets).flatMap((target) => target ?? []);
    if (dense.length === targets.length && new Set(dense).size === dense.length) lists.set(name, dense);
    else
      odd.push(
        ...targets.flatMap((target, slot) => (target === undefined ? [] : [slotMember(name, key, slot, target)])),
      );
  }
  const all = [...members, ...odd];
  return [frontend(family, key, all, lists), { members: all, slots: lists }];
};
