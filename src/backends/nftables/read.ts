/** Reads the kernel's table as objects, in listing form. */
import { byId, Turn } from '../../dataplane/turn.ts';
import { concat } from '../../nftables-json/construct.ts';
import { bareKeyOf, keyOf } from '../../nftables-json/elements.ts';
import type { TableListing } from '../../nftables-json/listing.ts';
import type { Nftables } from '../../nftables-json/nftables.ts';
import type { Chain, Concat, Element, Expression, SetDeclaration, Statement } from '../../nftables-json/schema.ts';
import { formatElement, formatExpression, formatShape } from '../../nftables-json/text.ts';
import { counterDeclarations, readCounterSet } from './counters.ts';
import type { DepartedEndpoint } from './departed-endpoints.ts';
import { BASE_CHAINS } from './hooks.ts';
import type { InstalledFrontend } from './members.ts';
import {
  CLUSTER_IPS,
  declarations,
  frontendSet,
  HAIRPIN,
  KEY_FIELDS,
  KEY_SPACES,
  type KeySpace,
  type NftFamily,
  NODEPORT_IPS,
  STICKY,
  stickyDeclarations,
  TABLE,
} from './names.ts';
import {
  chain,
  DORMANT,
  type EndpointAddress,
  element,
  frontendElements,
  type Member,
  type NftObject,
  OTHER_SHAPE,
  set,
  slotMember,
  table,
} from './objects.ts';

export interface TableContents {
  readonly objects: ReadonlyMap<string, NftObject>;
  readonly installed: ReadonlyMap<string, InstalledFrontend>;
  /** Endpoints that left frontends with affinity, and with which clients may still be remembered. */
  readonly departed: readonly DepartedEndpoint[];
  /** False when an element was listed twice: it has displaced another in the list. */
  readonly isWhole: boolean;
}

const NOTHING: TableContents = { objects: new Map(), installed: new Map(), departed: [], isWhole: true };

const PLAIN_SETS = [CLUSTER_IPS, NODEPORT_IPS, HAIRPIN];

/** Reads the table. Throws NetlinkError. */
export const readTable = async (nftables: Nftables, family: NftFamily): Promise<TableContents> => {
  const listing = await nftables.visitTable(family, TABLE);
  if (listing === undefined) return NOTHING;
  // sets and chains of our names and other types cannot be changed in place
  if (hasOtherShape(listing, family)) return { ...NOTHING, objects: await byId([table(family, OTHER_SHAPE)]) };
  const collection: Collection = { elements: [], frontends: new Map(), departed: [], isWhole: true };
  for (const { declaration } of listing.sets) {
    const handle = elementHandler(declaration.name, collection);
    if (handle !== undefined && !(await nftables.visit(declaration, handle))) collection.isWhole = false;
  }
  const objects = await byId<NftObject>([
    table(family, listing.isDormant ? DORMANT : ''),
    ...listing.sets.map(({ declaration }) => set(declaration)),
    ...chains(listing),
  ]);
  return finishAll(objects, collection, family);
};

/** Makes objects of elements, in pieces between which the event loop runs: there may be tens of thousands of each kind. */
const finishAll = async (
  objects: Map<string, NftObject>,
  { elements, frontends, departed, isWhole: isListed }: Collection,
  family: NftFamily,
): Promise<TableContents> => {
  const installed = new Map<string, InstalledFrontend>();
  const structure = objects.size;
  let isWhole = isListed;
  const turn = new Turn();
  for (const one of elements) {
    if (turn.isOver()) await turn.rest();
    objects.set(one.id, one);
  }
  isWhole &&= objects.size === structure + elements.length;
  for (const collected of frontends.values()) {
    if (turn.isOver()) await turn.rest();
    const finished = finish(collected, family);
    objects.set(finished.object.id, finished.object);
    installed.set(finished.object.id, finished.installed);
    isWhole &&= finished.isWhole;
  }
  return { objects, installed: installed, departed, isWhole };
};

const hasOtherShape = ({ sets, chains: found }: TableListing, family: NftFamily): boolean => {
  const known = [...declarations(family), ...stickyDeclarations(family), ...counterDeclarations(family)];
  const ours = new Map(known.map((declaration) => [declaration.name, declaration]));
  const differs = (declaration: SetDeclaration): boolean => {
    const shape = ours.get(declaration.name);
    return shape !== undefined && lastingShape(shape, shape) !== lastingShape(declaration, shape);
  };
  return sets.some(({ declaration }) => differs(declaration)) || found.some(lacksHook);
};

/** Type of a set, without attributes that the kernel can change in place: its time-out, and its size where ours has one. */
const lastingShape = ({ timeout: _timeout, size, ...shape }: SetDeclaration, ours: SetDeclaration): string =>
  formatShape(ours.size === undefined && size !== undefined ? { ...shape, size } : shape);

/** Whether a chain has the name of a base chain and no hook: rules may lead to it, so it cannot be deleted alone. */
const lacksHook = ({ name, hook }: Chain): boolean => name in BASE_CHAINS && hook === undefined;

const chains = (listing: TableListing): readonly NftObject[] => {
  const rules = new Map<string, (readonly Statement[])[]>(listing.chains.map(({ name }) => [name, []]));
  for (const rule of listing.rules) rules.get(rule.chain)?.push(rule.expr);
  return listing.chains.map((declaration) => chain(declaration, rules.get(declaration.name) ?? []));
};

/** Elements of a frontend, collected set by set. */
interface Collected {
  readonly key: Concat;
  readonly members: Member[];
  readonly slots: Map<string, (EndpointAddress | undefined)[]>;
}

interface Collection {
  readonly elements: NftObject[];
  readonly frontends: Map<string, Collected>;
  readonly departed: DepartedEndpoint[];
  isWhole: boolean;
}

/** Handler of a set's elements. Undefined for sets whose elements are no objects: they time out, or go with their set. */
const elementHandler = (name: string, collection: Collection): ((found: Element) => void) | undefined => {
  if (PLAIN_SETS.includes(name)) return (found) => collection.elements.push(element({ set: name, element: found }));
  const leftBehind = KEY_SPACES.find((space) => STICKY[space].departed === name);
  if (leftBehind !== undefined) return (found) => collection.departed.push(departedOf(found, leftBehind));
  const counters = readCounterSet(name);
  const shape = counters === undefined ? frontendSet(name) : { space: counters.space, hasSlots: false };
  if (shape === undefined) return undefined;
  const fields = KEY_FIELDS[shape.space];
  return (found) => {
    const parts = keyParts(found);
    const collected = collectedAt(collection.frontends, parts.slice(0, fields));
    if (!shape.hasSlots) collected.members.push({ set: name, element: counters ? withoutCounter(found) : found });
    else if (!putSlot(collected, name, Number(parts[fields]), found)) collection.isWhole = false;
  };
};

const departedOf = (found: Element, space: KeySpace): DepartedEndpoint => {
  const parts = keyParts(found);
  const text = (some: readonly Expression[]): string => some.map(formatExpression).join(' . ');
  return { frontend: text(parts.slice(0, KEY_FIELDS[space])), target: text(parts.slice(KEY_FIELDS[space])) };
};

/** Drops the counter of an element: it is not part of the desired element. */
const withoutCounter = (found: Element): Element => {
  const key = keyOf(found);
  if (typeof key !== 'object' || !('elem' in key)) return found;
  const { comment, val } = key.elem;
  return comment === undefined ? val : { elem: { val, comment } };
};

const keyParts = (found: Element): readonly Expression[] => {
  const bare = bareKeyOf(found);
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

/** Highest slot that is read as one, above what the API allows a Service: a stray element must not make a list of its length. */
const MAX_SLOT = 100_000;

/** Stores a slot. Returns false for a slot that was listed before. */
const putSlot = (collected: Collected, name: string, slot: number, found: Element): boolean => {
  if (slot > MAX_SLOT) {
    collected.members.push({ set: name, element: found });
    return true;
  }
  let slots = collected.slots.get(name);
  if (slots === undefined) {
    slots = [];
    collected.slots.set(name, slots);
  }
  const isNew = slots[slot] === undefined;
  slots[slot] = dataText(found);
  return isNew;
};

const dataText = (found: Element): EndpointAddress => {
  const [, data] = found as readonly [Expression, Expression];
  return formatExpression(data);
};

interface Finished {
  readonly object: NftObject;
  readonly installed: InstalledFrontend;
  readonly isWhole: boolean;
}

/** Makes the frontend. A list with gaps or duplicates is not ours: its elements count as members, and are replaced. */
const finish = ({ key, members, slots }: Collected, family: NftFamily): Finished => {
  const lists = new Map<string, readonly EndpointAddress[]>();
  const odd: Member[] = [];
  for (const [name, targets] of slots) {
    const dense = Array.from(targets).flatMap((target) => target ?? []);
    if (dense.length === targets.length && new Set(dense).size === dense.length) lists.set(name, dense);
    else
      odd.push(
        ...Array.from(targets).flatMap((target, slot) =>
          target === undefined ? [] : [slotMember(name, key, slot, target)],
        ),
      );
  }
  const single = new Map(members.map((member) => [`${member.set} ${formatElement(member.element)}`, member]));
  const all = [...single.values(), ...odd];
  return {
    object: frontendElements(family, key, all, lists),
    installed: { members: all, slots: lists },
    isWhole: single.size === members.length,
  };
};
