/**
 * Pacing of runs: at once when idle, together under load, again after a failure. Runs never overlap.
 *
 * A run begins `minIntervalMs` after the one before, or a multiple of that run's length later if that is longer, up to a
 * second. So a lone change goes to the kernel at once; under a stream of changes each run takes all that came meanwhile,
 * and the node keeps most of its processor.
 */

import { type Clock, systemClock } from './clock.ts';

/** Rest per work, while requests keep coming. */
const REST_PER_WORK = 2;
/** Longest wait of a change after a long run, such as a first sync. */
const MAX_REST_MS = 1_000;

export class Pacer {
  readonly #run: () => Promise<number | undefined>;
  readonly #minIntervalMs: number;
  readonly #clock: Clock;
  #restUntil = 0;
  #timer: unknown;
  /** Time at which the armed timer fires; infinite when none is armed. */
  #dueAt = Number.POSITIVE_INFINITY;
  #running: Promise<void> | undefined;
  #requested = false;
  #stopped = false;

  /** `run` must not throw; it returns the milliseconds until it runs again without a request, or undefined. */
  constructor(run: () => Promise<number | undefined>, minIntervalMs: number, clock: Clock = systemClock) {
    this.#run = run;
    this.#minIntervalMs = minIntervalMs;
    this.#clock = clock;
  }

  /** Requests a run; requests before it starts are one. */
  request(): void {
    if (this.#stopped) return;
    this.#requested = true;
    if (this.#running === undefined) this.#arm(this.#restUntil - this.#clock.now());
  }

  /** Requests a run in so many milliseconds, unless one comes before. */
  requestIn(ms: number): void {
    if (!this.#stopped && this.#running === undefined) this.#arm(ms);
  }

  /** Stops runs; resolves when the one under way has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#disarm();
    await this.#running;
  }

  #arm(ms: number): void {
    const delay = Math.max(0, ms);
    const dueAt = this.#clock.now() + delay;
    if (dueAt >= this.#dueAt) return;
    this.#disarm();
    this.#dueAt = dueAt;
    this.#timer = this.#clock.setTimeout(() => this.#start(), delay);
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#dueAt = Number.POSITIVE_INFINITY;
  }

  #start(): void {
    this.#disarm();
    if (this.#stopped || this.#running !== undefined) return;
    this.#running = this.#once().finally(() => {
      this.#running = undefined;
      if (this.#requested) this.request();
    });
  }

  async #once(): Promise<void> {
    this.#requested = false;
    const startedAt = this.#clock.now();
    const againMs = await this.#run();
    const endedAt = this.#clock.now();
    const restMs = Math.min(MAX_REST_MS, REST_PER_WORK * (endedAt - startedAt));
    this.#restUntil = endedAt + Math.max(this.#minIntervalMs, restMs);
    if (againMs !== undefined && !this.#stopped) this.#arm(Math.max(againMs, this.#restUntil - endedAt));
  }
}
