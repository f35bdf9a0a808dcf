/**
 * One broken Service never stops a node: who is refused by the kernel is found, set aside with its last good objects,
 * and tried again with a back-off of its own, while everybody else goes on.
 */
import type { Fragment, KernelError, KernelObject } from './contract.ts';
import type { KernelState } from './state.ts';
import type { Refusal, Writer } from './writer.ts';

interface Patient<O> {
  readonly wanted: Fragment<O> | undefined;
  readonly attempts: number;
  readonly since: number;
  /** Infinite when there is nothing to try: only another wish can help. */
  readonly retryAt: number;
  readonly message: string;
}

export interface QuarantineOptions {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** Owners that cannot be done without: their failure is everybody's. */
  readonly isEssential: (owner: string) => boolean;
}

const sameObjects = <O extends KernelObject>(a: Fragment<O> | undefined, b: Fragment<O> | undefined): boolean =>
  a?.objects.length === b?.objects.length &&
  (a?.objects ?? []).every((object, i) => object.id === b?.objects[i]?.id && object.content === b?.objects[i]?.content);

export class Quarantine<O extends KernelObject, B> {
  readonly #patients = new Map<string, Patient<O>>();
  readonly #state: KernelState<O>;
  readonly #writer: Writer<O, B>;
  readonly #options: QuarantineOptions;

  constructor(state: KernelState<O>, writer: Writer<O, B>, options: QuarantineOptions) {
    this.#state = state;
    this.#writer = writer;
    this.#options = options;
  }

  get(owner: string): Patient<O> | undefined {
    return this.#patients.get(owner);
  }

  get owners(): readonly string[] {
    return [...this.#patients.keys()];
  }

  /** True if this is what was refused and its time has not come; the wish is kept for then. */
  holds(owner: string, wanted: Fragment<O> | undefined): boolean {
    const patient = this.#patients.get(owner);
    if (patient === undefined) return false;
    return this.#options.now() < patient.retryAt && sameObjects(patient.wanted, wanted);
  }

  /** Wishes whose time for another try has come. */
  due(): readonly (readonly [owner: string, wanted: Fragment<O> | undefined])[] {
    const now = this.#options.now();
    return [...this.#patients].filter(([, p]) => p.retryAt <= now).map(([owner, p]) => [owner, p.wanted] as const);
  }

  /** Milliseconds until the next try; undefined when nobody waits for one. */
  nextRetryMs(): number | undefined {
    const at = Math.min(...[...this.#patients.values()].map(({ retryAt }) => retryAt));
    return at === Number.POSITIVE_INFINITY ? undefined : Math.max(0, at - this.#options.now());
  }

  release(owner: string): void {
    this.#patients.delete(owner);
  }

  /** Sets aside whose wishes the kernel refused, until it is time to try them again. */
  admit(owner: string, wanted: Fragment<O> | undefined, message: string): void {
    const { firstRetryMs, lastRetryMs } = this.#options;
    const attempts = this.#patients.get(owner)?.attempts ?? 0;
    this.#setAside(owner, wanted, message, Math.min(lastRetryMs, firstRetryMs * 2 ** attempts));
  }

  /** Sets aside whose wishes could not be made out, until it has others: its last good objects stay. */
  suspend(owner: string, message: string): void {
    this.#setAside(owner, undefined, message, Number.POSITIVE_INFINITY);
  }

  #setAside(owner: string, wanted: Fragment<O> | undefined, message: string, waitMs: number): void {
    const former = this.#patients.get(owner);
    const now = this.#options.now();
    const attempts = (former?.attempts ?? 0) + 1;
    this.#patients.set(owner, { wanted, attempts, message, since: former?.since ?? now, retryAt: now + waitMs });
  }

  /**
   * After a refusal that reading back did not cure. `pending` holds, for each owner with wishes not yet in the kernel,
   * the last wishes that were: suspects go back to those, then come in again by halves until the culprits stand alone.
   * Throws the kernel's error when no owner can be blamed.
   */
  async isolate(refusal: Refusal, pending: ReadonlyMap<string, Fragment<O> | undefined>): Promise<void> {
    const held = new Map<string, Fragment<O> | undefined>();
    try {
      await this.#holdAndAdmit(refusal, pending, held);
    } catch (error) {
      // nothing can be written just now: everybody's wishes stay, to be tried as a whole later
      for (const [owner, wanted] of held) if (!this.#patients.has(owner)) this.#state.stage(owner, wanted);
      throw error;
    }
  }

  async #holdAndAdmit(
    refusal: Refusal,
    pending: ReadonlyMap<string, Fragment<O> | undefined>,
    held: Map<string, Fragment<O> | undefined>,
  ): Promise<void> {
    for (let next: Refusal | undefined = refusal; next !== undefined; ) {
      const suspects = this.#suspects(next, pending).filter((owner) => !held.has(owner));
      if (suspects.length === 0) throw next.error;
      for (const owner of suspects) held.set(owner, this.#state.desired.fragment(owner));
      next = await this.#tryWith(suspects, (owner) => pending.get(owner));
    }
    await this.#admitGuilty([...held.keys()], held, pending);
  }

  async #admitGuilty(
    owners: readonly string[],
    wanted: ReadonlyMap<string, Fragment<O> | undefined>,
    former: ReadonlyMap<string, Fragment<O> | undefined>,
  ): Promise<void> {
    const refusal = await this.#tryWith(owners, (owner) => wanted.get(owner));
    if (refusal === undefined) return;
    const lapse = await this.#tryWith(owners, (owner) => former.get(owner));
    if (lapse !== undefined) throw lapse.error;
    const [only] = owners;
    if (owners.length === 1 && only !== undefined) {
      this.admit(only, wanted.get(only), refusal.error.message);
      return;
    }
    const middle = Math.ceil(owners.length / 2);
    await this.#admitGuilty(owners.slice(0, middle), wanted, former);
    await this.#admitGuilty(owners.slice(middle), wanted, former);
  }

  async #tryWith(
    owners: readonly string[],
    wishes: (owner: string) => Fragment<O> | undefined,
  ): Promise<{ readonly error: KernelError; readonly ids: readonly string[] } | undefined> {
    for (const owner of owners) this.#state.stage(owner, wishes(owner));
    const result = await this.#writer.writeAgain();
    return 'error' in result ? result : undefined;
  }

  /** Whom the kernel named; else whoever has a part in the refused batch; among them first those who changed. */
  #suspects(refusal: Refusal, pending: ReadonlyMap<string, unknown>): readonly string[] {
    const { isEssential } = this.#options;
    const owners = (ids: readonly string[]): readonly string[] =>
      [...new Set(ids.flatMap((id) => this.#state.ownersOf(id)))].filter((owner) => !isEssential(owner));
    const named = owners(refusal.error.suspects);
    const all = named.length > 0 ? named : owners(refusal.ids);
    const changed = all.filter((owner) => pending.has(owner));
    return changed.length > 0 ? changed : all;
  }
}
