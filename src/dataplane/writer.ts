/**
 * Writes the difference between the kernel's objects and the wanted ones: diff, plan, apply, and read after a failure.
 *
 * Writes never overlap, and neither do reads; a read may run beside writes. After a failed write the kernel is read, as how
 * far the write got is not known.
 */
import { type Backend, type Batch, type Change, KernelError, type KernelObject } from './contract.ts';
import { newMutex } from './mutex.ts';
import type { KernelState } from './state.ts';
import { addCounts, addDrift, type ChangeCounts, countChanges, type Drift, NO_CHANGES, NO_DRIFT } from './status.ts';
import { inParts, Turn } from './turn.ts';

export interface WriteResult {
  readonly changes: ChangeCounts;
  readonly batches: number;
}

const NOTHING: WriteResult = { changes: NO_CHANGES, batches: 0 };

/** A content error, and the ids of the refused batch. */
export interface RefusedBatch {
  readonly error: KernelError;
  readonly ids: readonly string[];
}

/** Content error, or undefined. An object that cannot be encoded counts as refused, so that its owner is isolated. */
const contentError = (error: unknown): KernelError | undefined => {
  if (error instanceof KernelError) return error.scope === 'content' ? error : undefined;
  if (!(error instanceof TypeError || error instanceof RangeError)) return undefined;
  return new KernelError('content', `cannot be put into the kernel's form: ${error.message}`);
};

export class Writer<O extends KernelObject, B> {
  readonly #backend: Backend<O, B>;
  readonly #state: KernelState<O>;
  readonly #signal: AbortSignal;
  /** Ids that writes touched since each unlocked read began: what was read of them may be stale. */
  readonly #watches = new Set<Set<string>>();
  /** Ids of the last batch that failed: their state in the kernel is not known. */
  #refused: ReadonlySet<string> = new Set();
  #drift: Drift = NO_DRIFT;
  #isReadingUnlocked = false;
  #readMs = 0;
  /** Mutex of the state and of writes to the kernel. */
  readonly exclusive = newMutex();
  readonly #reading = newMutex();

  constructor(backend: Backend<O, B>, state: KernelState<O>, signal: AbortSignal) {
    this.#backend = backend;
    this.#state = state;
    this.#signal = signal;
  }

  /** Reads the kernel; the next write compares all objects. Returns the drift from what was believed. Throws KernelError. */
  async readBack(): Promise<Drift> {
    const drift = await this.#state.adopt(await this.#read(), this.#refused);
    this.#refused = new Set();
    return drift;
  }

  /** Milliseconds that the last read took. */
  get readMs(): number {
    return this.#backend.readMs?.() ?? this.#readMs;
  }

  /** Takes the drift that was found in reads after refusals since the last call. */
  takeDrift(): Drift {
    const drift = this.#drift;
    this.#drift = NO_DRIFT;
    return drift;
  }

  /**
   * Reads the kernel beside writes, then runs `use` under the mutex with the objects found and with the ids that writes
   * touched since the read began, also those of a write that was under way when the read ended. Throws KernelError, and Error
   * when another unlocked read is under way.
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

  /** Reads one at a time: a second dump on one netlink socket is refused (EBUSY). */
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

  /** Writes all outstanding changes. Returns the refusal on a content error; throws other KernelErrors. */
  async write(onBatch?: (done: number, total: number) => void): Promise<WriteResult | RefusedBatch> {
    const changes = await this.#state.changes();
    if (changes.length === 0) {
      this.#state.settled();
      return NOTHING;
    }
    const result = await this.#applyAll(changes, onBatch);
    if (!('error' in result)) this.#state.settled();
    return result;
  }

  /** Reads the kernel after a refusal or a failure; what other programs had changed is kept as drift. Throws KernelError. */
  async readBackAfterRefusal(): Promise<void> {
    this.#drift = addDrift(this.#drift, await this.readBack());
  }

  /**
   * Writes after a refusal and a read of the kernel, removals apart from the rest. Objects that cannot be removed, as foreign
   * rules refer to them, do no harm and are left to the next audit.
   */
  async writeAgain(): Promise<WriteResult | RefusedBatch> {
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
  ): Promise<WriteResult | RefusedBatch> {
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

  /** Iterates over the backend's batches. */
  #plan(changes: readonly Change<O>[]): () => { readonly batch: Batch<B> } | RefusedBatch | 'step' | 'end' {
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

  /** Refusal of these ids. Throws the error when it is no content error. */
  #refusal(error: unknown, ids: readonly string[]): RefusedBatch {
    this.#refused = new Set(ids);
    const refused = contentError(error);
    if (refused === undefined) throw error;
    return { error: refused, ids };
  }

  async #apply(batch: Batch<B>): Promise<RefusedBatch | undefined> {
    // a stop takes effect between batches: the one under way is finished, so that the kernel stays consistent
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
