/**
 * When one reflector asks again: after anything that worked at once, with a jitter of a second at most; more and more seldom
 * while nothing works.
 */
import { ApiError } from './errors.ts';
import type { Timing } from './timing.ts';

export class Retries {
  readonly #timing: Timing;
  readonly #random: () => number;
  /** Attempts in a row of which nothing came. */
  #failures = 0;
  /** Watches in a row that the server closed early. */
  #shortWatches = 0;

  constructor(timing: Timing, random: () => number) {
    this.#timing = timing;
    this.#random = random;
  }

  /** Something came. */
  worked(): void {
    this.#failures = 0;
  }

  /** A watch ended in good order; gives the wait before the next. A server that closes each early would be asked without end. */
  closed(isShort: boolean): number {
    this.#shortWatches = isShort ? this.#shortWatches + 1 : 0;
    return this.#shortWatches > 1 ? this.#timing.backoffFirstMs * this.#random() : 0;
  }

  /** The wait after an error; what the server asked for is obeyed. A refusal by a server that is there lets it wait longer. */
  failed(error: unknown, mostMs = this.#most(error)): number {
    const { backoffFirstMs, retryAfterMaxMs } = this.#timing;
    this.#failures += 1;
    const asked = error instanceof ApiError ? Math.min(error.retryAfterMs, retryAfterMaxMs) : 0;
    return asked + Math.min(backoffFirstMs * 2 ** (this.#failures - 1), mostMs) * this.#random();
  }

  #most(error: unknown): number {
    const { backoffMaxMs, refusedMaxMs } = this.#timing;
    return error instanceof ApiError && !error.inStream ? refusedMaxMs : backoffMaxMs;
  }
}
