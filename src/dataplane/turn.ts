/**
 * Rests in long computations: no turn of the event loop may last longer than health probes and watches can wait.
 *
 * The clock is read once in so many steps, as reading it costs as much as a small step.
 */

/** A turn ends after so many milliseconds; what the kernel or a library does at a stretch comes on top. */
const TURN_MS = 10;
const STEPS_PER_LOOK = 16;

export class Turn {
  #since = performance.now();
  #steps = 0;

  /** Counts one step; true when it is time to rest. */
  isOver(): boolean {
    this.#steps += 1;
    return this.#steps % STEPS_PER_LOOK === 0 && this.isLong();
  }

  /** The same for steps that take long themselves. */
  isLong(): boolean {
    return performance.now() - this.#since > TURN_MS;
  }

  /** Lets everything else that waits have its turn. */
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
