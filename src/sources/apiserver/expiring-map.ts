import { evictOldest } from './evict-oldest.ts';

/** Values with an expiry time, bounded in number: the oldest is evicted first. */
export class ExpiringMap<V> {
  readonly #limit: number;
  readonly #now: () => number;
  readonly #values = new Map<string, { readonly value: V; readonly until: number }>();

  constructor(limit: number, now: () => number) {
    this.#limit = limit;
    this.#now = now;
  }

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    const found = this.#values.get(key);
    if (found === undefined || this.#now() < found.until) return found?.value;
    this.#values.delete(key);
    return undefined;
  }

  put(key: string, value: V, forMs: number): void {
    this.#values.delete(key);
    evictOldest(this.#values, this.#limit);
    this.#values.set(key, { value, until: this.#now() + forMs });
  }
}
