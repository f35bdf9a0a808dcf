/**
 * Freezing of owners after a refusal: their objects are left as they are in the kernel, whatever the owners want.
 *
 * Former wishes in their place would remove objects that are as wanted: an owner may have no former wishes (at a start),
 * or the kernel may have lost some of them (in an audit).
 */
import type { Fragment, KernelObject, Standing } from './contract.ts';
import { type Age, compareAge, type OtherClaims } from './desired.ts';

/** Wishes of an owner: `former` was the last to be in the kernel as a whole, `wanted` is the current one. */
export interface Wishes<O> {
  readonly former: Fragment<O> | undefined;
  readonly wanted: Fragment<O> | undefined;
}

export interface FreezeView<O extends KernelObject> {
  readonly have: ReadonlyMap<string, O>;
  readonly standing: Standing<O> | undefined;
  /** Claims on an object of owners that are not frozen. */
  readonly wantedByOthers: (id: string) => OtherClaims<O>;
}

interface Claimant<O> extends Age {
  readonly former: O | undefined;
  readonly wanted: O | undefined;
}

/**
 * Fragments that change nothing in the kernel, for each of these owners. Any of them may be unfrozen next: the object that
 * is there for an id is given to the owner that is granted the id when all are unfrozen.
 */
export const freeze = <O extends KernelObject>(
  held: ReadonlyMap<string, Wishes<O>>,
  view: FreezeView<O>,
): ReadonlyMap<string, Fragment<O> | undefined> =>
  fragmentsOf(held, (id, claimants) => {
    const others = view.wantedByOthers(id);
    const heir = heirOf(claimants, others);
    return heir && { holder: heir, object: asFound(id, [...wishesOf(claimants), ...others.wishes], view) };
  });

/** Fragment of one quarantined owner: its objects that are in the kernel, and of its former wishes those that are missing. */
export const restore = <O extends KernelObject>(
  owner: string,
  wishes: Wishes<O>,
  view: FreezeView<O>,
): ReadonlyMap<string, Fragment<O> | undefined> =>
  fragmentsOf(new Map([[owner, wishes]]), (id, claimants) => {
    const holder = holderOf(id, claimants, view);
    return holder && { holder, object: asFound(id, wishesOf(claimants), view, holder.former) };
  });

/** The object left for an id, and the owner whose fragment holds it whatever that owner wants now; undefined for none. */
type Leave<O> = (
  id: string,
  claimants: readonly Claimant<O>[],
) => { readonly holder: Claimant<O>; readonly object: O | undefined } | undefined;

const fragmentsOf = <O extends KernelObject>(
  held: ReadonlyMap<string, Wishes<O>>,
  leave: Leave<O>,
): ReadonlyMap<string, Fragment<O> | undefined> => {
  const objects = new Map<string, O[]>([...held.keys()].map((owner) => [owner, []]));
  for (const [id, claimants] of claimantsById(held)) {
    const { holder, object } = leave(id, claimants) ?? {};
    if (object === undefined) continue;
    // all owners that want the id keep the object, as one of them may be tried before the others
    for (const one of claimants) if (one === holder || one.wanted !== undefined) objects.get(one.owner)?.push(object);
  }
  return new Map(
    [...held].map(([owner, { former, wanted }]) => {
      const last = wanted ?? former;
      return [owner, last && { ...last, objects: objects.get(owner) ?? [] }];
    }),
  );
};

const claimantsById = <O extends KernelObject>(
  held: ReadonlyMap<string, Wishes<O>>,
): ReadonlyMap<string, readonly Claimant<O>[]> => {
  const claimants = new Map<string, Claimant<O>[]>();
  for (const [owner, { former, wanted }] of held) {
    const [before, now] = [byId(former), byId(wanted)];
    for (const id of new Set([...before.keys(), ...now.keys()])) {
      const { since } = wanted ?? former ?? { since: 0 };
      const claimant = { owner, since, former: before.get(id), wanted: now.get(id) };
      const known = claimants.get(id);
      if (known === undefined) claimants.set(id, [claimant]);
      else known.push(claimant);
    }
  }
  return claimants;
};

const byId = <O extends KernelObject>(fragment: Fragment<O> | undefined): ReadonlyMap<string, O> =>
  new Map(fragment?.objects.map((object) => [object.id, object]));

/**
 * The owner that is granted the id when all are unfrozen; the first claimant when none wants the id any more. Undefined when
 * an owner that is not frozen is granted it already.
 */
const heirOf = <O extends KernelObject>(
  claimants: readonly Claimant<O>[],
  { oldest }: OtherClaims<O>,
): Claimant<O> | undefined => {
  const [heir] = claimants.filter(({ wanted }) => wanted !== undefined).sort(compareAge);
  if (heir === undefined) return oldest === undefined ? claimants[0] : undefined;
  return oldest === undefined || compareAge(heir, oldest) < 0 ? heir : undefined;
};

/**
 * The claimant whose object the kernel holds. Undefined where the object is of an owner that is not frozen, or where such
 * an owner wants an id that the claimant has given up.
 */
const holderOf = <O extends KernelObject>(
  id: string,
  claimants: readonly Claimant<O>[],
  view: FreezeView<O>,
): Claimant<O> | undefined => {
  const others = view.wantedByOthers(id).wishes;
  const candidates = others.length === 0 ? claimants : claimants.filter(({ wanted }) => wanted !== undefined);
  const count = (wish: O | undefined): number => (wish === undefined ? 0 : standingParts(id, wish, view));
  let best: Claimant<O> | undefined;
  // a tie with other owners goes to the claimant: Desired then decides by age between the two claims
  let most = others.length === 0 ? -1 : Math.max(0, ...others.map((wish) => count(wish) - 1));
  for (const candidate of candidates) {
    const parts = Math.max(count(candidate.wanted), count(candidate.former));
    if (parts > most) [best, most] = [candidate, parts];
  }
  return best;
};

const standingParts = <O extends KernelObject>(id: string, wish: O, { have, standing }: FreezeView<O>): number =>
  standing?.count(wish) ?? (have.get(id)?.content === wish.content ? 1 : 0);

const wishesOf = <O>(claimants: readonly Claimant<O>[]): readonly O[] =>
  claimants.flatMap(({ wanted, former }) => [wanted, former].filter((wish) => wish !== undefined));

/** One object of all parts of these wishes that the kernel holds, and of the parts of `filled` that are missing. */
const asFound = <O extends KernelObject>(
  id: string,
  wishes: readonly O[],
  { have, standing }: FreezeView<O>,
  filled?: O,
): O | undefined => {
  const [first] = wishes;
  if (standing !== undefined && first !== undefined && standing.count(first) !== undefined) {
    return standing.merge(wishes, filled);
  }
  const found = have.get(id);
  return wishes.find(({ content }) => content === found?.content) ?? filled ?? found;
};
