/**
 * Outage of the API server, shared by all reflectors of a connection: one reflector retries, the others wait for its
 * result. So a node sends about as many requests as one reflector would, and all reflectors resume on the first answer.
 *
 * The wait has full jitter, as all nodes of a cluster lose their API server at the same moment. Its bound depends on
 * the outage's age only: changes made meanwhile must be late by a small part of it at most.
 */
import type { pause } from '../../dataplane/pause.ts';
import type { Timing } from './timing.ts';

export interface OutageOptions {
  readonly timing: Pick<Timing, 'backoffFirstMs' | 'backoffMaxMs' | 'outageShare' | 'refusedMaxMs'>;
  /** Monotonic clock in milliseconds. */
  readonly clock: () => number;
  readonly random: () => number;
  readonly pause: typeof pause;
}

export class Outage {
  readonly #options: OutageOptions;
  /**
   * Waiting callers in order of arrival: one after the other gets its turn, so that a caller whose own request fails
   * does not block the others.
   */
  readonly #waiting = new Map<symbol, AbortController>();
  /** Begin of the outage; undefined while the server answers. */
  #since: number | undefined;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** Resolves when the caller may send a request, or when aborted. The caller then reports `failed` or `answered`. */
  async turn(signal: AbortSignal): Promise<void> {
    const { timing, random } = this.#options;
    const caller = Symbol('caller');
    while (this.#since !== undefined && !signal.aborted) {
      const [first = caller] = this.#waiting.keys();
      // the first caller's request may hang: another caller retries after backoffMaxMs
      const ms = first === caller ? this.#bound(this.#since) * random() : timing.backoffMaxMs;
      if (await this.#wait(caller, ms, signal)) break;
    }
    this.#waiting.delete(caller);
  }

  /** Reports that the server did not answer. */
  failed(): void {
    this.#since ??= this.#options.clock();
    this.#wakeAll();
  }

  /** Reports any answer of the server. */
  answered(): void {
    if (this.#since === undefined) return;
    this.#since = undefined;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const waiting of this.#waiting.values()) waiting.abort();
  }

  /** Waits; returns false when a report ended the wait. */
  async #wait(caller: symbol, ms: number, signal: AbortSignal): Promise<boolean> {
    const news = new AbortController();
    const stop = (): void => news.abort();
    signal.addEventListener('abort', stop, { once: true });
    this.#waiting.set(caller, news);
    await this.#options.pause(ms, news.signal);
    signal.removeEventListener('abort', stop);
    return !news.signal.aborted;
  }

  #bound(since: number): number {
    const { backoffFirstMs, backoffMaxMs, outageShare, refusedMaxMs } = this.#options.timing;
    const age = this.#options.clock() - since;
    const most = Math.min(Math.max(backoffMaxMs, age / outageShare), refusedMaxMs);
    return Math.min(Math.max(backoffFirstMs, age), most);
  }
}
