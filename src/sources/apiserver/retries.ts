/**
 * Retry delays of one reflector: after success at once, with a jitter of a second at most; with back-off while every
 * attempt fails.
 */
import { ApiError } from './errors.ts';
import type { Timing } from './timing.ts';

export class Retries {
  readonly #timing: Timing;
  readonly #random: () => number;
  /** Consecutive failed attempts. */
  #failures = 0;
  /** Consecutive watches that the server closed early. */
  #shortWatches = 0;

  constructor(timing: Timing, random: () => number) {
    this.#timing = timing;
    this.#random = random;
  }

  /** Notes a success. */
  worked(): void {
    this.#failures = 0;
  }

  /**
   * Wait after a watch that the server closed in good order. A server that closes every watch early gets a back-off, as
   * it would be asked without end.
   */
  closed(isShort: boolean): number {
    this.#shortWatches = isShort ? this.#shortWatches + 1 : 0;
    return this.#shortWatches > 1 ? this.#timing.backoffFirstMs * this.#random() : 0;
  }

  /** Wait after an error: Retry-After plus back-off. Refusals by a server that answers have a longer bound. */
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
