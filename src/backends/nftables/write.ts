/**
 * Commands of one transaction, in the kernel's order: an object is added before objects that refer to it, and removed after
 * them. Each command has the id of its object.
 */
import type { Command } from '../../nftables-json/schema.ts';
import { type InstalledFrontend, NOT_INSTALLED, stepTo } from './members.ts';
import type { NftFamily } from './names.ts';
import {
  bySet,
  type ChainObject,
  declare,
  type FrontendElements,
  type Member,
  type NftObject,
  rulesOf,
} from './objects.ts';
import { isRebuilt, type NftChange } from './plan.ts';

export interface IssuedCommand {
  readonly command: Command;
  /** Id of the object. */
  readonly id: string;
}

export interface Transaction {
  readonly commands: readonly IssuedCommand[];
  /** Frontends as installed by the transaction. Undefined: removed. */
  readonly installed: ReadonlyMap<string, InstalledFrontend | undefined>;
}

export const commandsOf = (
  changes: readonly NftChange[],
  family: NftFamily,
  installedAt: (id: string) => InstalledFrontend | undefined,
): Transaction => {
  const installed = new Map<string, InstalledFrontend | undefined>();
  const ofTable = changes.flatMap((change) => (change.object.kind === 'table' ? tableCommands(change) : []));
  // deleting the table deletes all in it
  if (changes.some(({ op, object }) => object.kind === 'table' && op === 'remove'))
    return { commands: ofTable, installed: installed };
  const isNew = ofTable.length > 1;
  const members = changes.flatMap((change) => {
    if (change.object.kind === 'element')
      return issue(change.object.id, elementCommands(change, change.object.member, family));
    if (change.object.kind !== 'frontend') return [];
    const { id } = change.object;
    const step = frontendStep(change, change.object, isNew ? undefined : installedAt(id));
    installed.set(id, change.op === 'remove' ? undefined : step.installed);
    return issue(id, memberCommands(step.removed, step.added, family));
  });
  return { commands: [...ofTable, ...structure(changes), ...members, ...removals(changes)], installed: installed };
};

const issue = (id: string, commands: readonly Command[]): readonly IssuedCommand[] =>
  commands.map((command) => ({ command, id }));

const tableCommands = (change: NftChange): readonly IssuedCommand[] => {
  const { op, object } = change;
  if (object.kind !== 'table') return [];
  const table = object.declaration;
  const remove: Command = { delete: { table } };
  const add: Command = { add: { table } };
  return issue(object.id, op === 'remove' ? [remove] : isRebuilt(change) ? [remove, add] : [add]);
};

const ofKind = <K extends NftObject['kind']>(
  changes: readonly NftChange[],
  kind: K,
  isWanted: (op: NftChange['op']) => boolean,
): readonly (NftChange & { readonly object: Extract<NftObject, { readonly kind: K }> })[] =>
  changes.filter(
    (change): change is NftChange & { readonly object: Extract<NftObject, { readonly kind: K }> } =>
      change.object.kind === kind && isWanted(change.op),
  );

const isKept = (op: NftChange['op']): boolean => op !== 'remove';
const isRemoved = (op: NftChange['op']): boolean => op === 'remove';

/** Adds sets, then chains, then rules: rules refer to sets and chains. */
const structure = (changes: readonly NftChange[]): readonly IssuedCommand[] => {
  const chains = ofKind(changes, 'chain', isKept);
  return [
    ...ofKind(changes, 'set', isKept).flatMap(({ object }) => issue(object.id, [{ add: declare(object.declaration) }])),
    ...chains.flatMap((change) =>
      issue(change.object.id, [
        ...(isMoved(change) ? vanish(change.object) : []),
        { add: { chain: change.object.declaration } },
      ]),
    ),
    ...chains.flatMap(({ op, object }) =>
      issue(object.id, [...(op === 'replace' ? [flush(object)] : []), ...rulesOf(object)]),
    ),
  ];
};

/** Whether a base chain needs another hook, and so to be made anew. No rule leads to a base chain, so it can be deleted. */
const isMoved = (change: NftChange): boolean => {
  if (change.op !== 'replace' || change.object.kind !== 'chain' || change.previous.kind !== 'chain') return false;
  const { declaration: now } = change.object;
  const { declaration: before } = change.previous;
  const isSame = before.hook === now.hook && before.prio === now.prio && before.type === now.type;
  return before.hook !== undefined && !isSame;
};

const vanish = (chain: ChainObject): readonly Command[] => [flush(chain), { delete: { chain: chain.declaration } }];

const flush = ({ declaration }: ChainObject): Command => ({ flush: { chain: declaration } });

/** Removes the rules of all chains first: chains may refer to each other. */
const removals = (changes: readonly NftChange[]): readonly IssuedCommand[] => {
  const chains = ofKind(changes, 'chain', isRemoved);
  return [
    ...chains.flatMap(({ object }) => issue(object.id, [flush(object)])),
    ...chains.flatMap(({ object }) => issue(object.id, [{ delete: { chain: object.declaration } }])),
    ...ofKind(changes, 'set', isRemoved).flatMap(({ object }) =>
      issue(object.id, [{ delete: declare(object.declaration) }]),
    ),
  ];
};

const elementCommands = ({ op }: NftChange, member: Member, family: NftFamily): readonly Command[] =>
  op === 'remove' ? memberCommands([member], [], family) : memberCommands([], [member], family);

const frontendStep = ({ op }: NftChange, frontend: FrontendElements, installed: InstalledFrontend = NOT_INSTALLED) =>
  stepTo(installed, op === 'remove' ? undefined : frontend, frontend.key);

const memberCommands = (
  removed: readonly Member[],
  added: readonly Member[],
  family: NftFamily,
): readonly Command[] => [
  ...bySet(removed, family).map((element): Command => ({ delete: { element } })),
  ...bySet(added, family).map((element): Command => ({ add: { element } })),
];
