/**
 * One connection's outage, shared by its reflectors: while nobody answers, one of them asks and the others wait for what it
 * hears. So a node asks a server that is away about as often as one reflector would, and all go on with the first answer.
 *
 * The wait has full jitter, as all nodes of a cluster lose their API server at the same moment, and its bound is a matter of
 * the outage's age alone: what changed meanwhile must not be late by more than a small part of it.
 */
import type { pause } from '../../dataplane/pause.ts';
import type { Timing } from './timing.ts';

export interface OutageOptions {
  readonly timing: Pick<Timing, 'backoffFirstMs' | 'backoffMaxMs' | 'outageShare' | 'refusedMaxMs'>;
  /** Milliseconds since any fixed time. */
  readonly clock: () => number;
  readonly random: () => number;
  readonly pause: typeof pause;
}

export class Outage {
  readonly #options: OutageOptions;
  /** In the order in which they came: so it is each one's turn, and one that fails by itself keeps no other from asking. */
  readonly #waiting = new Map<symbol, AbortController>();
  /** Undefined while the server is there. */
  #since: number | undefined;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** Resolves when the caller may ask, or when aborted: call `failed` or `answered` then. */
  async turn(signal: AbortSignal): Promise<void> {
    const { timing, random } = this.#options;
    const caller = Symbol('caller');
    while (this.#since !== undefined && !signal.aborted) {
      const [first = caller] = this.#waiting.keys();
      // whoever asks may be kept waiting itself: then another one asks besides
      const ms = first === caller ? this.#bound(this.#since) * random() : timing.backoffMaxMs;
      if (await this.#wait(caller, ms, signal)) break;
    }
    this.#waiting.delete(caller);
  }

  /** Nobody answered. */
  failed(): void {
    this.#since ??= this.#options.clock();
    this.#wakeAll();
  }

  /** The server is there, whatever it said. */
  answered(): void {
    if (this.#since === undefined) return;
    this.#since = undefined;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const waiting of this.#waiting.values()) waiting.abort();
  }

  /** Whether nothing was heard meanwhile. */
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
