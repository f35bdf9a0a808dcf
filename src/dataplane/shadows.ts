/** Owners that did not get what another has, and what was said of it: each is told once, and again when that changes. */
import type { KernelObject } from './contract.ts';
import type { Desired } from './desired.ts';

export class Shadows<O extends KernelObject> {
  readonly #desired: Desired<O>;
  /** By owner. */
  readonly #told = new Map<string, string>();

  constructor(desired: Desired<O>) {
    this.#desired = desired;
  }

  /** Undefined for an owner that has all it wants. */
  of(owner: string): string | undefined {
    const lost = this.#desired.lost(owner);
    return lost === undefined ? undefined : `${lost.id} belongs to ${lost.to}`;
  }

  /** After the share of these owners changed: costs what these want, whatever else is contested. */
  tell(owners: Iterable<string>, say: (owner: string, message: string) => void): void {
    for (const owner of owners) {
      const message = this.of(owner);
      if (message === this.#told.get(owner)) continue;
      if (message === undefined) this.#told.delete(owner);
      else {
        this.#told.set(owner, message);
        say(owner, message);
      }
    }
  }
}
