/** Clean-up: removes all objects that are read back, but for settings that stay. */
import { type Backend, KernelError, type KernelObject } from './contract.ts';
import { Turn } from './turn.ts';

export interface CleanupResult<O> {
  readonly removed: readonly O[];
  /** Objects that could not be removed. */
  readonly left: readonly O[];
  /** Objects of another proxy that stay; empty under `all`. */
  readonly kept: readonly O[];
}

/** Objects to remove: ours alone, or also those of another proxy that uses the same names. */
export type Whose = 'ours' | 'all';

/** Removes objects until the kernel refuses no more. Throws KernelError when nothing can be written, or no refused object is named. */
export const removeAll = async <O extends KernelObject, B>(
  backend: Backend<O, B>,
  signal: AbortSignal,
  whose: Whose = 'all',
): Promise<CleanupResult<O>> => {
  const found = await backend.read(signal);
  const kept = whose === 'all' ? [] : (backend.madeByOther?.([...found.values()]) ?? []);
  const keptIds = idsOf(kept);
  const isToGo = ({ id }: O): boolean => !keptIds.has(id);
  const have = await select(found.values(), isToGo);
  const inUse = new Set<string>();
  let left = have;
  for (let isDone = false; !isDone; ) {
    const going = await select(left, ({ id, stays }) => stays !== true && !inUse.has(id));
    const refused = await remove(backend, going, signal);
    left = await select((await backend.read(signal)).values(), isToGo);
    // objects that foreign rules refer to cannot be removed (EBUSY); the others are tried without them
    for (const id of refused) inUse.add(id);
    isDone = refused.length === 0;
  }
  const leftIds = idsOf(left);
  return {
    removed: await select(have, ({ id }) => !leftIds.has(id)),
    left: left.filter(({ stays }) => stays !== true),
    kept,
  };
};

const idsOf = (objects: readonly KernelObject[]): ReadonlySet<string> => new Set(objects.map(({ id }) => id));

/** Filters in several turns of the event loop. */
const select = async <T>(items: Iterable<T>, isWanted: (item: T) => boolean): Promise<readonly T[]> => {
  const turn = new Turn();
  const selected: T[] = [];
  for (const item of items) {
    if (turn.isOver()) await turn.rest();
    if (isWanted(item)) selected.push(item);
  }
  return selected;
};

/** Removes objects; returns the ids that the kernel named in its refusal, none when all are gone. */
const remove = async <O extends KernelObject, B>(
  backend: Backend<O, B>,
  objects: readonly O[],
  signal: AbortSignal,
): Promise<readonly string[]> => {
  const turn = new Turn();
  try {
    for (const batch of backend.plan(objects.map((object) => ({ op: 'remove', object })))) {
      if (turn.isOver()) await turn.rest();
      if (batch === undefined) continue;
      signal.throwIfAborted();
      await backend.apply(batch, signal);
      if (turn.isLong()) await turn.rest();
    }
    return [];
  } catch (error) {
    if (!(error instanceof KernelError && error.scope === 'content')) throw error;
    const ids = idsOf(objects);
    const named = error.suspects.filter((id) => ids.has(id));
    if (named.length === 0) throw error;
    return named;
  }
};
