/** Listens in on a backend's writes, the engine's and the audits' alike. */
import type { Backend, Batch, Change, KernelObject, Measure } from '../dataplane/contract.ts';
import { type ChangeCounts, countChanges } from '../dataplane/status.ts';

export interface WriteListener {
  /** A batch is in the kernel, with what it changed, and how much it wrote of what metrics count. */
  written(counts: ChangeCounts, measured: readonly Measure[]): void;
  /** A batch was refused, or could not be written. */
  refused(onlyRemoves: boolean): void;
}

/** The same backend. Whatever else the contract has, now or later, goes through as it is. */
export const tellWrites = <O extends KernelObject, B>(
  backend: Backend<O, B>,
  listener: WriteListener,
): Backend<O, B> => {
  const changesOf = new WeakMap<Batch<B>, readonly Change<O>[]>();
  function* plan(changes: readonly Change<O>[]): Iterable<Batch<B> | undefined> {
    const left = new Map<string, Change<O>>();
    for (const change of changes) {
      left.set(change.object.id, change);
      yield;
    }
    for (const batch of backend.plan(changes)) {
      if (batch === undefined) {
        yield;
        continue;
      }
      const own = batch.ids.flatMap((id) => left.get(id) ?? []);
      for (const { object } of own) left.delete(object.id); // an object that takes two batches is one all the same
      changesOf.set(batch, own);
      yield batch;
    }
  }
  const apply = async (batch: Batch<B>, signal: AbortSignal): Promise<void> => {
    const changes = changesOf.get(batch) ?? [];
    try {
      await backend.apply(batch, signal);
    } catch (error) {
      listener.refused(changes.length > 0 && changes.every(({ op }) => op === 'remove'));
      throw error;
    }
    const measured = changes.flatMap(({ op, object }) => (op === 'remove' ? [] : (backend.measure?.(object) ?? [])));
    listener.written(countChanges(changes), measured);
  };
  return new Proxy(backend, {
    get: (target, key) => {
      if (key === 'plan') return plan;
      if (key === 'apply') return apply;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
};
