/** Owners: which of their wishes are in the kernel and since when, and the notes about each. */
import type { Fragment, KernelObject } from './contract.ts';
import type { Desired } from './desired.ts';
import type { OwnerStatus } from './status.ts';
import { Turn } from './turn.ts';

export interface OwnersOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Called when an owner leaves the quarantine: its wishes are in the kernel (`isServed`), or it has none. */
  readonly onRelease?: (owner: string, isServed: boolean) => void;
  /** Called when an owner is not served, or not as its Service says. */
  readonly onNote?: (owner: string, note: string) => void;
}

/** Part of the quarantine that statuses need. */
interface QuarantineView {
  readonly owners: readonly string[];
  get(owner: string): Pick<OwnerStatus, 'since' | 'attempts' | 'message'> | undefined;
  release(owner: string): void;
}

export class Owners<O extends KernelObject> {
  readonly #desired: Desired<O>;
  readonly #quarantine: QuarantineView;
  readonly #options: OwnersOptions;
  /** By owner whose wishes are not in the kernel yet: the last wishes that were. */
  readonly #pending = new Map<string, Fragment<O> | undefined>();
  readonly #doneAt = new Map<string, number>();
  /** By owner: the note about an object that another owner is granted; given once, and again when it changes. */
  readonly #shadowed = new Map<string, string>();

  constructor(desired: Desired<O>, quarantine: QuarantineView, options: OwnersOptions) {
    this.#desired = desired;
    this.#quarantine = quarantine;
    this.#options = options;
  }

  get pending(): ReadonlyMap<string, Fragment<O> | undefined> {
    return this.#pending;
  }

  statuses(lastError: string | undefined): readonly OwnerStatus[] {
    const names = new Set([...this.#desired.owners(), ...this.#quarantine.owners]);
    return [...names].map((owner) => this.status(owner, lastError));
  }

  status(owner: string, lastError: string | undefined): OwnerStatus {
    const refused = this.#quarantine.get(owner);
    if (refused !== undefined) {
      const { since, attempts, message } = refused;
      return { owner, state: 'Quarantined', since, attempts, message };
    }
    const since = this.#doneAt.get(owner) ?? 0;
    if (this.#pending.has(owner)) return { owner, state: 'Pending', since, attempts: 0, message: lastError };
    const message = this.#shadowOf(owner);
    return { owner, state: message === undefined ? 'Done' : 'Shadowed', since, attempts: 0, message };
  }

  /** Records an owner's former wishes, which are those in the kernel. Call before the new ones are staged. */
  staging(owner: string, fragment: Fragment<O> | undefined): void {
    const former = this.#desired.fragment(owner);
    for (const note of fragment?.notes ?? []) {
      if (former?.notes?.includes(note) !== true) this.#options.onNote?.(owner, note);
    }
    if (!this.#pending.has(owner)) this.#pending.set(owner, former);
  }

  /** Marks owners pending that are granted an object which another owner gave up. */
  noteAffected(): void {
    for (const owner of this.#desired.takeAffected()) {
      const isKnown = this.#pending.has(owner) || this.#quarantine.get(owner) !== undefined;
      if (!isKnown) this.#pending.set(owner, this.#desired.fragment(owner));
    }
  }

  /** Takes an owner whose wishes the kernel refused off the pending ones. */
  refused(owner: string): void {
    this.#pending.delete(owner);
  }

  forget(owner: string): void {
    this.#release(owner, false);
    this.#doneAt.delete(owner);
  }

  /** Marks all pending wishes as in the kernel. */
  async written(): Promise<void> {
    const now = this.#options.now();
    const turn = new Turn();
    for (const owner of this.#pending.keys()) {
      if (turn.isOver()) await turn.rest();
      this.#release(owner, true);
      if (this.#desired.fragment(owner) !== undefined) this.#doneAt.set(owner, now);
      this.#tellShadow(owner);
    }
    this.#pending.clear();
  }

  #release(owner: string, isServed: boolean): void {
    const wasRefused = this.#quarantine.get(owner) !== undefined;
    this.#quarantine.release(owner);
    if (wasRefused) this.#options.onRelease?.(owner, isServed);
  }

  #shadowOf(owner: string): string | undefined {
    const lost = this.#desired.lost(owner);
    return lost === undefined ? undefined : `${lost.id} belongs to ${lost.to}`;
  }

  #tellShadow(owner: string): void {
    const message = this.#shadowOf(owner);
    if (message === this.#shadowed.get(owner)) return;
    if (message === undefined) this.#shadowed.delete(owner);
    else {
      this.#shadowed.set(owner, message);
      this.#options.onNote?.(owner, message);
    }
  }
}
