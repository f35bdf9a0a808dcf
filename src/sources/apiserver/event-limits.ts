/**
 * Rate limit of Events by object: a burst, then one per refill interval, as in client-go. It protects etcd from Events
 * of a loop.
 */

import { evictOldest } from './evict-oldest.ts';

export const BURST = 25;
const REFILL_MS = 300_000;
/** Number of objects that are remembered; a forgotten one has its full burst again. */
const MEMORY = 1_000;

interface Bucket {
  readonly tokens: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export class EventLimits {
  readonly #buckets = new Map<string, Bucket>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes one token; returns whether the object had one. */
  take(object: string): boolean {
    const now = this.#now();
    const { tokens, at } = this.#buckets.get(object) ?? { tokens: BURST, at: now };
    const left = Math.min(BURST, tokens + (now - at) / REFILL_MS);
    this.#buckets.delete(object);
    evictOldest(this.#buckets, MEMORY);
    this.#buckets.set(object, { tokens: left >= 1 ? left - 1 : left, at: now });
    return left >= 1;
  }
}
