/**
 * Rests in long computations: no turn of the event loop may last longer than health probes and watches can wait.
 *
 * The clock is read once in so many steps, as reading it costs as much as a small step.
 */

/** Length of a turn in milliseconds; a single call of the kernel or a library comes on top. */
const TURN_MS = 5;
const STEPS_PER_LOOK = 16;

export class Turn {
  #since = performance.now();
  #steps = 0;

  /** Counts one step; true when it is time to rest. */
  isOver(): boolean {
    this.#steps += 1;
    return this.#steps % STEPS_PER_LOOK === 0 && this.isLong();
  }

  /** The same for long steps: reads the clock each time. */
  isLong(): boolean {
    return performance.now() - this.#since > TURN_MS;
  }

  /** Ends the turn of the event loop. */
  async rest(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#since = performance.now();
  }
}

/** A computation that yields after each of its steps, with rests. */
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

/** Items in a part. */
const PART = 500;

/** Items part by part, with rests in between. */
export const inParts = async <T>(items: readonly T[], take: (part: readonly T[]) => void): Promise<void> => {
  const turn = new Turn();
  for (let from = 0; from < items.length; from += PART) {
    if (turn.isLong()) await turn.rest();
    take(items.slice(from, from + PART));
  }
};

/** Objects by id, with rests: there may be hundreds of thousands. */
export const byId = async <O extends { readonly id: string }>(objects: Iterable<O>): Promise<Map<string, O>> => {
  const turn = new Turn();
  const found = new Map<string, O>();
  for (const object of objects) {
    if (turn.isOver()) await turn.rest();
    found.set(object.id, object);
  }
  return found;
};

/** A long computation in steps, with a possible rest after each. */
export type Steps<T> = Generator<undefined, T>;

/** The same without rests. */
export const atAStretch = <T>(steps: Generator<unknown, T>): T => {
  for (let next = steps.next(); ; next = steps.next()) if (next.done === true) return next.value;
};

/** Items that are sorted without a rest. */
const RUN = 1_000;

/** Sorts in steps: short runs, which are then merged pair by pair. Stable. */
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
