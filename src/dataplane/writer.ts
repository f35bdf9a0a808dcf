/**
 * Brings the kernel from what it has to what is wanted: diff, plan, apply, and read back after a failure.
 *
 * Writes never overlap: `exclusive` is the one lock of a family. After a failed write the truth is what is read, never a
 * guess about how far it got.
 */
import { type Backend, type Batch, type Change, KernelError, type KernelObject } from './contract.ts';
import type { KernelState } from './state.ts';
import { addCounts, addDrift, type ChangeCounts, countChanges, type Drift, NO_CHANGES, NO_DRIFT } from './status.ts';

export interface WriteResult {
  readonly changes: ChangeCounts;
  readonly batches: number;
}

const NOTHING: WriteResult = { changes: NO_CHANGES, batches: 0 };

/** A content error, with the ids of the batch that was refused. */
export interface Refusal {
  readonly error: KernelError;
  readonly ids: readonly string[];
}

/** What cannot even be put into the kernel's form is as bad as refused: its owner is to be found, and nobody else to wait. */
const contentError = (error: unknown): KernelError | undefined => {
  if (error instanceof KernelError) return error.scope === 'content' ? error : undefined;
  if (!(error instanceof TypeError || error instanceof RangeError)) return undefined;
  return new KernelError('content', `cannot be put into the kernel's form: ${error.message}`);
};

export class Writer<O extends KernelObject, B> {
  readonly #backend: Backend<O, B>;
  readonly #state: KernelState<O>;
  readonly #signal: AbortSignal;
  /** Ids that writes touched since each read beside them began: of these, what was read may be stale. */
  readonly #watches = new Set<Set<string>>();
  /** What of the last refused batch is in the kernel is not known. */
  #refused: ReadonlySet<string> = new Set();
  #drift: Drift = NO_DRIFT;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(backend: Backend<O, B>, state: KernelState<O>, signal: AbortSignal) {
    this.#backend = backend;
    this.#state = state;
    this.#signal = signal;
  }

  /** Runs when everything before it has ended. */
  exclusive<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(run);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** Reads the kernel; everything is compared by the next write. */
  async learn(): Promise<void> {
    this.#state.learn(await this.#backend.read(this.#signal));
  }

  /** What others had changed, as far as it was found after refusals since the last call. */
  takeDrift(): Drift {
    const drift = this.#drift;
    this.#drift = NO_DRIFT;
    return drift;
  }

  /**
   * Reads the kernel without holding up writes, then uses what was found, alone, with the ids that writes touched since
   * the read began: also those of a write that was still under way when the read ended.
   */
  async readBeside<T>(use: (found: ReadonlyMap<string, O>, touched: ReadonlySet<string>) => Promise<T>): Promise<T> {
    const touched = new Set<string>();
    await this.exclusive(async () => this.#watches.add(touched));
    try {
      const found = await this.#backend.read(this.#signal);
      return await this.exclusive(() => use(found, touched));
    } finally {
      this.#watches.delete(touched);
    }
  }

  /** Writes all that is outstanding. Throws KernelError, or gives the refusal if the kernel disliked what it was given. */
  async write(onBatch?: (done: number, total: number) => void): Promise<WriteResult | Refusal> {
    const changes = this.#state.changes();
    if (changes.length === 0) {
      this.#state.settled();
      return NOTHING;
    }
    const result = await this.#applyAll(changes, onBatch);
    if (!('error' in result)) this.#state.settled();
    return result;
  }

  /**
   * Writes after a refusal: the kernel is read first, and removals go by themselves. What cannot be removed (somebody
   * else refers to it) is harmless where it is: it is left for the next audit.
   */
  async writeAgain(): Promise<WriteResult | Refusal> {
    const drift = this.#state.learn(await this.#backend.read(this.#signal), this.#refused);
    this.#drift = addDrift(this.#drift, drift);
    const changes = this.#state.changes();
    const additions = await this.#applyAll(changes.filter(({ op }) => op !== 'remove'));
    if ('error' in additions) return additions;
    const removals = await this.#applyAll(changes.filter(({ op }) => op === 'remove'));
    this.#state.settled();
    if ('error' in removals) return additions;
    return {
      changes: addCounts(additions.changes, removals.changes),
      batches: additions.batches + removals.batches,
    };
  }

  async #applyAll(
    changes: readonly Change<O>[],
    onBatch?: (done: number, total: number) => void,
  ): Promise<WriteResult | Refusal> {
    const planned = this.#plan(changes);
    if ('error' in planned) return planned;
    const { batches } = planned;
    for (const [i, batch] of batches.entries()) {
      const refusal = await this.#apply(batch);
      if (refusal !== undefined) return refusal;
      onBatch?.(i + 1, batches.length);
    }
    return { changes: countChanges(changes), batches: batches.length };
  }

  #plan(changes: readonly Change<O>[]): { readonly batches: readonly Batch<B>[] } | Refusal {
    try {
      return { batches: this.#backend.plan(changes) };
    } catch (error) {
      return this.#refusal(
        error,
        changes.map(({ object }) => object.id),
      );
    }
  }

  /** Throws the error when it says nothing of what was to be written. */
  #refusal(error: unknown, ids: readonly string[]): Refusal {
    const refused = contentError(error);
    if (refused === undefined) throw error;
    this.#refused = new Set(ids);
    return { error: refused, ids };
  }

  async #apply(batch: Batch<B>): Promise<Refusal | undefined> {
    // A stop takes effect between batches: the one under way is finished, what is in the kernel stays consistent.
    this.#signal.throwIfAborted();
    for (const touched of this.#watches) for (const id of batch.ids) touched.add(id);
    try {
      await this.#backend.apply(batch, this.#signal);
    } catch (error) {
      return this.#refusal(error, batch.ids);
    }
    this.#state.applied(batch.ids);
    return undefined;
  }
}
