/**
 * Rests in long computations, so that no turn of the event loop lasts longer than health probes and watches can wait.
 *
 * The clock is read once in several steps, as reading it costs as much as a small step.
 */

/** Length of a turn in milliseconds; a single call of the kernel or a library comes on top. */
const TURN_MS = 5;
const STEPS_PER_LOOK = 16;

export class Turn {
  #since = performance.now();
  #steps = 0;

  /** Counts one step; true when a rest is due. */
  isOver(): boolean {
    this.#steps += 1;
    return this.#steps % STEPS_PER_LOOK === 0 && this.isLong();
  }

  /** Reads the clock, for long steps; true when a rest is due. */
  isLong(): boolean {
    return performance.now() - this.#since > TURN_MS;
  }

  /** Ends the turn of the event loop. */
  async rest(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }
}

/** Runs a generator to its end, with rests between steps; returns its result. Throws what it throws. */
export const withRests = async <T>(steps: Generator<unknown, T>): Promise<T> => {
  const turn = new Turn();
  try {
    for (let next = steps.next(); ; next = steps.next()) {
      if (next.done === true) return next.value;
      if (turn.isOver()) await turn.rest();
    }
  } finally {
    steps.return(undefined as never);
  }
};

/** Items of a part. */
const PART = 500;

/** Passes items part by part, with rests in between. */
export const inParts = async <T>(items: readonly T[], take: (part: readonly T[]) => void): Promise<void> => {
  const turn = new Turn();
  for (let from = 0; from < items.length; from += PART) {
    if (turn.isLong()) await turn.rest();
    take(items.slice(from, from + PART));
  }
};

/** Indexes objects by id, with rests: there may be hundreds of thousands. */
export const byId = async <O extends { readonly id: string }>(objects: Iterable<O>): Promise<Map<string, O>> => {
  const turn = new Turn();
  const found = new Map<string, O>();
  for (const object of objects) {
    if (turn.isOver()) await turn.rest();
    found.set(object.id, object);
  }
  return found;
};

/** Long computation in steps, after each of which the caller may rest. */
export type Steps<T> = Generator<undefined, T>;

/** Runs a generator to its end without rests; returns its result. */
export const atAStretch = <T>(steps: Generator<unknown, T>): T => {
  for (let next = steps.next(); ; next = steps.next()) if (next.done === true) return next.value;
};

/** Items that are sorted without a rest. */
const RUN = 1_000;

/** Sorts in steps (stable): short runs, which are then merged pair by pair. */
export function* sorting<T>(items: readonly T[], compare: (a: T, b: T) => number): Steps<readonly T[]> {
  let runs: (readonly T[])[] = [];
  for (let from = 0; from < items.length; from += RUN) {
    runs.push(items.slice(from, from + RUN).sort(compare));
    yield;
  }
  while (runs.length > 1) {
    const merged: (readonly T[])[] = [];
    for (let i = 0; i < runs.length; i += 2) merged.push(yield* merging(runs[i] ?? [], runs[i + 1] ?? [], compare));
    runs = merged;
  }
  return runs[0] ?? [];
}

function* merging<T>(a: readonly T[], b: readonly T[], compare: (a: T, b: T) => number): Steps<readonly T[]> {
  const merged: T[] = [];
  for (let [i, j] = [0, 0]; i < a.length || j < b.length; ) {
    const isOfA = j >= b.length || (i < a.length && compare(a[i] as T, b[j] as T) <= 0);
    merged.push((isOfA ? a[i++] : b[j++]) as T);
    yield;
  }
  return merged;
}
