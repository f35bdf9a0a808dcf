/**
 * Which service ports have series of their own: the first ones that came, as many as there are places. Who has a place keeps
 * it as long as it exists; then it is the next one's who waits. Each call costs the same, however many there are.
 */
import { ownerOf, type ServicePortName } from '../../model/service.ts';

export class Places {
  readonly #size: number;
  readonly #shown = new Map<string, ServicePortName>();
  readonly #waiting = new Map<string, ServicePortName>();

  constructor(size: number) {
    this.#size = size;
  }

  /** By owner. */
  get shown(): ReadonlyMap<string, ServicePortName> {
    return this.#shown;
  }

  /** How many have no place. */
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
