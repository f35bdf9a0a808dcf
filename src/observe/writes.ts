/** Backend wrapper that reports writes, those of syncs and of audits alike. */
import type { Backend, Batch, Change, KernelObject, Measure } from '../dataplane/contract.ts';
import { type ChangeCounts, NO_CHANGES } from '../dataplane/status.ts';

export interface WriteListener {
  /** Called when a batch is in the kernel, with its changes, and with the measures of the objects that it wrote. */
  written(counts: ChangeCounts, measured: readonly Measure[]): void;
  /** Called when a batch was refused or could not be written. `onlyRemoves`: all its changes were removals. */
  refused(onlyRemoves: boolean): void;
}

interface BatchRecord {
  readonly counts: ChangeCounts;
  readonly measured: readonly Measure[];
}

const NOTHING: BatchRecord = { counts: NO_CHANGES, measured: [] };

/** Wraps `plan` and `apply` to report writes to a listener. */
export const listenToWrites = <O extends KernelObject, B>(
  backend: Backend<O, B>,
  listener: WriteListener,
): Backend<O, B> => {
  const written = new WeakMap<Batch<B>, BatchRecord>();
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
      const counts = { add: 0, replace: 0, remove: 0 };
      const measured: Measure[] = [];
      for (const id of batch.ids) {
        yield;
        const change = left.get(id);
        if (change === undefined) continue;
        left.delete(id); // an object in two batches counts once
        counts[change.op] += 1;
        const measure = change.op === 'remove' ? undefined : backend.measure?.(change.object);
        if (measure !== undefined) measured.push(measure);
      }
      written.set(batch, { counts: { added: counts.add, replaced: counts.replace, removed: counts.remove }, measured });
      yield batch;
    }
  }
  const apply = async (batch: Batch<B>, signal: AbortSignal): Promise<void> => {
    const { counts, measured } = written.get(batch) ?? NOTHING;
    try {
      await backend.apply(batch, signal);
    } catch (error) {
      listener.refused(counts.removed > 0 && counts.added + counts.replaced === 0);
      throw error;
    }
    listener.written(counts, measured);
  };
  return { ...backend, plan, apply };
};
