/**
 * Leaving the objects of owners as they are in the kernel, whatever these want: what is isolated after a refusal is not
 * touched.
 *
 * Putting former wishes back instead would take away what is fine: an owner may have no former wishes (at a start), or the
 * kernel may have lost what they were (in an audit).
 */
import type { Fragment, KernelObject, Standing } from './contract.ts';

/** Two wishes of an owner: the last that was in the kernel as a whole, and the one that counts now. */
export interface Wishes<O> {
  readonly former: Fragment<O> | undefined;
  readonly wanted: Fragment<O> | undefined;
}

export interface FreezeView<O extends KernelObject> {
  readonly have: ReadonlyMap<string, O>;
  readonly standing: Standing<O> | undefined;
  /** What owners that are not frozen want of this object, each content once. */
  readonly wantedByOthers: (id: string) => readonly O[];
}

interface Claimant<O> {
  readonly owner: string;
  readonly former: O | undefined;
  readonly wanted: O | undefined;
}

/**
 * The wishes that change nothing in the kernel, for each of these owners. With `fills`, what is missing of the former
 * wishes is wished for: an owner's last good objects are to be there.
 */
export const freeze = <O extends KernelObject>(
  held: ReadonlyMap<string, Wishes<O>>,
  view: FreezeView<O>,
  fills = false,
): ReadonlyMap<string, Fragment<O> | undefined> => {
  const objects = new Map<string, O[]>([...held.keys()].map((owner) => [owner, []]));
  for (const [id, claimants] of claimantsById(held)) {
    const holder = holderOf(id, claimants, view);
    const frozen = holder && frozenObject(id, holder, claimants, view, fills);
    if (frozen === undefined) continue;
    // all that want it keep it: one of them may be tried before the others
    for (const one of claimants) if (one === holder || one.wanted !== undefined) objects.get(one.owner)?.push(frozen);
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
      const claimant = { owner, former: before.get(id), wanted: now.get(id) };
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
 * The owner whose object it is that the kernel holds. Undefined where that is an owner's that is not frozen, or where such
 * an owner wants what the frozen ones have given up.
 */
const holderOf = <O extends KernelObject>(
  id: string,
  claimants: readonly Claimant<O>[],
  view: FreezeView<O>,
): Claimant<O> | undefined => {
  const others = view.wantedByOthers(id);
  const candidates = others.length === 0 ? claimants : claimants.filter(({ wanted }) => wanted !== undefined);
  const count = (wish: O | undefined): number => (wish === undefined ? 0 : standingParts(id, wish, view));
  let best: Claimant<O> | undefined;
  // as much of it as of others': then age decides between the two claims, as ever
  let most = others.length === 0 ? -1 : Math.max(0, ...others.map((wish) => count(wish) - 1));
  for (const candidate of candidates) {
    const parts = Math.max(count(candidate.wanted), count(candidate.former));
    if (parts > most) [best, most] = [candidate, parts];
  }
  return best;
};

const standingParts = <O extends KernelObject>(id: string, wish: O, { have, standing }: FreezeView<O>): number =>
  standing?.count(wish) ?? (have.get(id)?.content === wish.content ? 1 : 0);

const frozenObject = <O extends KernelObject>(
  id: string,
  holder: Claimant<O>,
  claimants: readonly Claimant<O>[],
  { have, standing }: FreezeView<O>,
  fills: boolean,
): O | undefined => {
  const wishes = claimants.flatMap(({ wanted, former }) => [wanted, former].filter((wish) => wish !== undefined));
  const [first] = wishes;
  const filled = fills ? holder.former : undefined;
  if (standing !== undefined && first !== undefined && standing.count(first) !== undefined) {
    return standing.merge(wishes, filled);
  }
  const found = have.get(id);
  return wishes.find(({ content }) => content === found?.content) ?? filled ?? found;
};
