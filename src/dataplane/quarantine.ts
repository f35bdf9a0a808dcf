/**
 * One broken Service never stops a node: the owner that the kernel refuses is found, set aside with its last good objects,
 * and tried again with a back-off of its own, while all others go on.
 *
 * Isolation touches nothing that is in the kernel as it is wanted: suspects are frozen as they are there (freeze.ts).
 */
import type { Fragment, KernelObject } from './contract.ts';
import { freeze, restore, type Wishes } from './freeze.ts';
import type { KernelState } from './state.ts';
import type { Refusal, Writer } from './writer.ts';

interface QuarantineEntry<O> {
  readonly wanted: Fragment<O> | undefined;
  readonly attempts: number;
  readonly since: number;
  /** By `clock`. Infinite when there is nothing to try: only another wish can help. */
  readonly retryAt: number;
  readonly message: string;
}

export interface QuarantineOptions {
  /** Milliseconds since 1970, for what is shown. */
  readonly now: () => number;
  /** Milliseconds of a clock that nobody sets, for waits. */
  readonly clock: () => number;
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** Owners that cannot be done without: their failure is everybody's. */
  readonly isEssential: (owner: string) => boolean;
}

const NOTHING = { former: undefined, wanted: undefined };

const sameObjects = <O extends KernelObject>(a: Fragment<O> | undefined, b: Fragment<O> | undefined): boolean =>
  a?.objects.length === b?.objects.length &&
  (a?.objects ?? []).every((object, i) => object.id === b?.objects[i]?.id && object.content === b?.objects[i]?.content);

export class Quarantine<O extends KernelObject, B> {
  readonly #entries = new Map<string, QuarantineEntry<O>>();
  readonly #state: KernelState<O>;
  readonly #writer: Writer<O, B>;
  readonly #options: QuarantineOptions;

  constructor(state: KernelState<O>, writer: Writer<O, B>, options: QuarantineOptions) {
    this.#state = state;
    this.#writer = writer;
    this.#options = options;
  }

  get(owner: string): QuarantineEntry<O> | undefined {
    return this.#entries.get(owner);
  }

  get owners(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** True if this is what was refused and its time has not come; the wish is kept for then. */
  holds(owner: string, wanted: Fragment<O> | undefined): boolean {
    const entry = this.#entries.get(owner);
    if (entry === undefined) return false;
    return this.#options.clock() < entry.retryAt && sameObjects(entry.wanted, wanted);
  }

  /** What it wants now is to be tried, also if that fails for the host's reasons: never again what it wanted before. */
  renew(owner: string, wanted: Fragment<O> | undefined): void {
    const entry = this.#entries.get(owner);
    if (entry !== undefined) this.#entries.set(owner, { ...entry, wanted, retryAt: this.#options.clock() });
  }

  /** Wishes whose time for another try has come. */
  due(): readonly (readonly [owner: string, wanted: Fragment<O> | undefined])[] {
    const now = this.#options.clock();
    return [...this.#entries].filter(([, p]) => p.retryAt <= now).map(([owner, p]) => [owner, p.wanted] as const);
  }

  /** Milliseconds until the next try; undefined when nobody waits for one. */
  nextRetryMs(): number | undefined {
    const at = Math.min(...[...this.#entries.values()].map(({ retryAt }) => retryAt));
    return at === Number.POSITIVE_INFINITY ? undefined : Math.max(0, at - this.#options.clock());
  }

  release(owner: string): void {
    this.#entries.delete(owner);
  }

  /** Sets aside whose wishes the kernel refused, until it is time to try them again. */
  setAside(owner: string, wanted: Fragment<O> | undefined, message: string): void {
    const { firstRetryMs, lastRetryMs } = this.#options;
    const attempts = this.#entries.get(owner)?.attempts ?? 0;
    this.#enter(owner, wanted, message, Math.min(lastRetryMs, firstRetryMs * 2 ** attempts));
  }

  /** Sets aside whose wishes could not be made out, until it has others: its last good objects stay. */
  suspend(owner: string, message: string): void {
    this.#enter(owner, undefined, message, Number.POSITIVE_INFINITY);
  }

  #enter(owner: string, wanted: Fragment<O> | undefined, message: string, waitMs: number): void {
    const former = this.#entries.get(owner);
    const { now, clock } = this.#options;
    const attempts = (former?.attempts ?? 0) + 1;
    const since = former?.since ?? now();
    this.#entries.set(owner, { wanted, attempts, message, since, retryAt: clock() + waitMs });
  }

  /**
   * After a refusal that reading back did not cure. `pending` holds, for each owner with wishes not yet in the kernel,
   * the last wishes that were. Suspects are frozen until the kernel takes the rest, then come in again by halves until
   * the culprits stand alone: those are set aside, and `onGuilty` hears of each, also where what follows cannot be
   * written. Throws the kernel's error when no owner can be blamed.
   */
  async isolate(
    refusal: Refusal,
    pending: ReadonlyMap<string, Fragment<O> | undefined>,
    onGuilty: (owner: string) => void,
  ): Promise<void> {
    const held = new Map<string, Wishes<O>>();
    const guilty = new Set<string>();
    try {
      await this.#holdSuspects(refusal, pending, held);
      await this.#bisect([...held.keys()], held, (owner) => {
        guilty.add(owner);
        onGuilty(owner);
      });
    } catch (error) {
      // nothing can be written just now: all wishes stay, to be tried as a whole later
      for (const [owner, { wanted }] of held) if (!guilty.has(owner)) this.#state.stage(owner, wanted);
      throw error;
    }
  }

  async #holdSuspects(
    refusal: Refusal,
    pending: ReadonlyMap<string, Fragment<O> | undefined>,
    held: Map<string, Wishes<O>>,
  ): Promise<void> {
    for (let next: Refusal | undefined = refusal; next !== undefined; ) {
      const suspects = this.#suspects(next, pending).filter((owner) => !held.has(owner));
      if (suspects.length === 0) throw next.error;
      for (const owner of suspects) {
        held.set(owner, { former: pending.get(owner), wanted: this.#state.desired.fragment(owner) });
      }
      next = await this.#tryFrozen([...held.keys()], held);
    }
  }

  async #bisect(
    owners: readonly string[],
    held: ReadonlyMap<string, Wishes<O>>,
    onGuilty: (owner: string) => void,
  ): Promise<void> {
    const refusal = await this.#try(() => owners.map((owner) => [owner, held.get(owner)?.wanted]));
    if (refusal === undefined) return;
    const rollback = await this.#tryFrozen(owners, held);
    if (rollback !== undefined) throw rollback.error;
    const [only] = owners;
    if (owners.length === 1 && only !== undefined) {
      this.setAside(only, held.get(only)?.wanted, refusal.error.message);
      onGuilty(only);
      await this.#restoreFormer(only, held);
      return;
    }
    const middle = Math.ceil(owners.length / 2);
    await this.#bisect(owners.slice(0, middle), held, onGuilty);
    await this.#bisect(owners.slice(middle), held, onGuilty);
  }

  /**
   * A culprit has its last good objects back where they are missing, and nothing of what came with the refused wishes.
   * Refused as well, it stays as it is.
   */
  async #restoreFormer(owner: string, held: ReadonlyMap<string, Wishes<O>>): Promise<void> {
    const refusal = await this.#try(() =>
      restore(
        owner,
        held.get(owner) ?? NOTHING,
        this.#state.freezeViewBefore((other) => other === owner),
      ),
    );
    if (refusal === undefined) return;
    const rollback = await this.#tryFrozen([owner], held);
    if (rollback !== undefined) throw rollback.error;
  }

  #tryFrozen(owners: readonly string[], held: ReadonlyMap<string, Wishes<O>>): Promise<Refusal | undefined> {
    return this.#try(() => {
      const these = new Map(owners.flatMap((owner) => [[owner, held.get(owner) ?? NOTHING] as const]));
      return freeze(
        these,
        this.#state.freezeView((owner) => these.has(owner)),
      );
    });
  }

  /** Reads the kernel, takes these wishes, and writes. */
  async #try(
    wishes: () => Iterable<readonly [owner: string, wanted: Fragment<O> | undefined]>,
  ): Promise<Refusal | undefined> {
    await this.#writer.relearn();
    for (const [owner, wanted] of wishes()) this.#state.stage(owner, wanted);
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
