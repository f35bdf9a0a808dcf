/** Leaving: what is read back goes, all of it and nothing else. */
import type { Backend, KernelObject } from './contract.ts';
import { diff } from './desired.ts';

export interface CleanupResult<O> {
  readonly removed: readonly O[];
  /** What is still there afterwards. */
  readonly left: readonly O[];
}

export const removeAll = async <O extends KernelObject, B>(
  backend: Backend<O, B>,
  signal: AbortSignal,
): Promise<CleanupResult<O>> => {
  const have = await backend.read(signal);
  for (const batch of backend.plan(diff(have, new Map()))) {
    signal.throwIfAborted();
    await backend.apply(batch, signal);
  }
  const left = await backend.read(signal);
  return { removed: [...have.values()].filter(({ id }) => !left.has(id)), left: [...left.values()] };
};
