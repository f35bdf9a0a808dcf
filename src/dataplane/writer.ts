/**
 * Brings the kernel from what it has to what is wanted: diff, plan, apply, and read back after a failure.
 *
 * Writes never overlap, and neither do reads; a read may go on beside writes. After a failed write the truth is what is
 * read, never a guess about how far it got.
 */
import { type Backend, type Batch, type Change, KernelError, type KernelObject } from './contract.ts';
import { newLane } from './lane.ts';
import type { KernelState } from './state.ts';
import { addCounts, addDrift, type ChangeCounts, countChanges, type Drift, NO_CHANGES, NO_DRIFT } from './status.ts';
import { inParts, Turn } from './turn.ts';

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
  /** What of the last batch that failed is in the kernel is not known. */
  #refused: ReadonlySet<string> = new Set();
  #drift: Drift = NO_DRIFT;
  #isReadingUnlocked = false;
  #readMs = 0;
  /** Runs when everything before it has ended: one user of the state and of the kernel's writing end. */
  readonly exclusive = newLane();
  readonly #reading = newLane();

  constructor(backend: Backend<O, B>, state: KernelState<O>, signal: AbortSignal) {
    this.#backend = backend;
    this.#state = state;
    this.#signal = signal;
  }

  /** Reads the kernel; everything is compared by the next write. Gives how it differs from what was believed. */
  async learn(): Promise<Drift> {
    const drift = await this.#state.learn(await this.#read(), this.#refused);
    this.#refused = new Set();
    return drift;
  }

  /** Milliseconds that the last read took. */
  get readMs(): number {
    return this.#readMs;
  }

  /** What others had changed, as far as it was found after refusals since the last call. */
  takeDrift(): Drift {
    const drift = this.#drift;
    this.#drift = NO_DRIFT;
    return drift;
  }

  /**
   * Reads the kernel without holding up writes, then uses what was found, alone, with the ids that writes touched since
   * the read began: also those of a write that was still under way when the read ended. Throws when another such read is
   * under way: two would answer the same question.
   */
  async readUnlocked<T>(use: (found: ReadonlyMap<string, O>, touched: ReadonlySet<string>) => Promise<T>): Promise<T> {
    if (this.#isReadingUnlocked) throw new Error('the kernel is being read already');
    this.#isReadingUnlocked = true;
    const touched = new Set<string>();
    try {
      await this.exclusive(async () => this.#watches.add(touched));
      const found = await this.#read();
      return await this.exclusive(() => use(found, touched));
    } finally {
      this.#watches.delete(touched);
      this.#isReadingUnlocked = false;
    }
  }

  /** One at a time: a list is read over a handle that two readers would tear (EBUSY of a second dump on one socket). */
  #read(): Promise<ReadonlyMap<string, O>> {
    return this.#reading(async () => {
      const startedAt = performance.now();
      try {
        return await this.#backend.read(this.#signal);
      } finally {
        this.#readMs = performance.now() - startedAt;
      }
    });
  }

  /** Writes all that is outstanding. Throws KernelError, or gives the refusal if the kernel disliked what it was given. */
  async write(onBatch?: (done: number, total: number) => void): Promise<WriteResult | Refusal> {
    const changes = await this.#state.changes();
    if (changes.length === 0) {
      this.#state.settled();
      return NOTHING;
    }
    const result = await this.#applyAll(changes, onBatch);
    if (!('error' in result)) this.#state.settled();
    return result;
  }

  /** Reads the kernel after a refusal: what others had changed is drift. */
  async relearn(): Promise<void> {
    this.#drift = addDrift(this.#drift, await this.learn());
  }

  /**
   * Writes after a refusal, and after the kernel was read; removals go by themselves. What cannot be removed (somebody
   * else refers to it) is harmless where it is: it is left for the next audit.
   */
  async writeAgain(): Promise<WriteResult | Refusal> {
    const changes = await this.#state.changes();
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
    const turn = new Turn();
    let done = 0;
    let batches = 0;
    const plan = this.#plan(changes);
    for (let next = plan(); ; next = plan()) {
      if (turn.isOver()) await turn.rest();
      if (next === 'step') continue;
      if (next === 'end') return { changes: countChanges(changes), batches };
      if ('error' in next) return next;
      const refusal = await this.#apply(next.batch);
      if (refusal !== undefined) return refusal;
      batches += 1;
      done += next.batch.ids.length;
      onBatch?.(Math.min(done, changes.length), changes.length);
      if (turn.isLong()) await turn.rest();
    }
  }

  /** Batch by batch, as the backend makes them. */
  #plan(changes: readonly Change<O>[]): () => { readonly batch: Batch<B> } | Refusal | 'step' | 'end' {
    let batches: Iterator<Batch<B> | undefined> | undefined;
    return () => {
      try {
        batches ??= this.#backend.plan(changes)[Symbol.iterator]();
        const { done, value } = batches.next();
        if (done === true) return 'end';
        return value === undefined ? 'step' : { batch: value };
      } catch (error) {
        return this.#refusal(
          error,
          changes.map(({ object }) => object.id),
        );
      }
    };
  }

  /** Throws the error when it says nothing of what was to be written. */
  #refusal(error: unknown, ids: readonly string[]): Refusal {
    this.#refused = new Set(ids);
    const refused = contentError(error);
    if (refused === undefined) throw error;
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
    await inParts(batch.ids, (ids) => this.#state.applied(ids));
    return undefined;
  }
}
