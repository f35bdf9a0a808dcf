/** Leaving: what is read back goes, all of it and nothing else but settings that stay. */
import { type Backend, type Change, KernelError, type KernelObject } from './contract.ts';
import { diff } from './desired.ts';

export interface CleanupResult<O> {
  readonly removed: readonly O[];
  /** What is still there afterwards and should not be. */
  readonly left: readonly O[];
  /** What another proxy made, where that is to stay. */
  readonly kept: readonly O[];
}

/** Whose: ours alone, or also what another proxy made that uses the same names. */
export type Whose = 'ours' | 'all';

/** Throws KernelError when the kernel cannot be written, or refuses without saying what. */
export const removeAll = async <O extends KernelObject, B>(
  backend: Backend<O, B>,
  signal: AbortSignal,
  whose: Whose = 'all',
): Promise<CleanupResult<O>> => {
  const found = await backend.read(signal);
  const kept = whose === 'all' ? [] : (backend.madeByOther?.([...found.values()]) ?? []);
  const keptIds = new Set(kept.map(({ id }) => id));
  const without = (objects: ReadonlyMap<string, O>): ReadonlyMap<string, O> =>
    new Map([...objects].filter(([id]) => !keptIds.has(id)));
  const have = without(found);
  const inUse = new Set<string>();
  let left = have;
  for (let isDone = false; !isDone; ) {
    const refused = await remove(
      backend,
      diff(left, new Map()).filter(({ object }) => !inUse.has(object.id)),
      signal,
    );
    left = without(await backend.read(signal));
    // what somebody else's rules refer to cannot go, and must not keep the rest
    for (const id of refused) inUse.add(id);
    isDone = refused.length === 0;
  }
  return {
    removed: [...have.values()].filter(({ id }) => !left.has(id)),
    left: [...left.values()].filter(({ stays }) => stays !== true),
    kept,
  };
};

/** Gives the ids that the kernel named when it refused; none when all is written. */
const remove = async <O extends KernelObject, B>(
  backend: Backend<O, B>,
  changes: readonly Change<O>[],
  signal: AbortSignal,
): Promise<readonly string[]> => {
  try {
    for (const batch of backend.plan(changes)) {
      signal.throwIfAborted();
      await backend.apply(batch, signal);
    }
    return [];
  } catch (error) {
    if (!(error instanceof KernelError && error.scope === 'content')) throw error;
    const named = error.suspects.filter((id) => changes.some(({ object }) => object.id === id));
    if (named.length === 0) throw error;
    return named;
  }
};
