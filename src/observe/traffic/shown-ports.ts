/**
 * Choice of the service ports with series of their own: the first that came, up to a bound. A port keeps its place until it
 * is removed; then the first that waits gets it. Each call is O(1).
 */
import { ownerOf, type ServicePortName } from '../../model/service.ts';

export class ShownPorts {
  readonly #size: number;
  readonly #shown = new Map<string, ServicePortName>();
  readonly #waiting = new Map<string, ServicePortName>();

  constructor(size: number) {
    this.#size = size;
  }

  /** Service ports with a place, by owner. */
  get shown(): ReadonlyMap<string, ServicePortName> {
    return this.#shown;
  }

  /** Number of service ports without a place. */
  get omitted(): number {
    return this.#waiting.size;
  }

  put(name: ServicePortName): void {
    const owner = ownerOf(name);
    if (this.#shown.has(owner)) return;
    if (this.#shown.size < this.#size) this.#shown.set(owner, name);
    else this.#waiting.set(owner, name);
  }

  remove(owner: string): void {
    this.#waiting.delete(owner);
    if (!this.#shown.delete(owner)) return;
    for (const [next, name] of this.#waiting) {
      this.#waiting.delete(next);
      this.#shown.set(next, name);
      return;
    }
  }
}
