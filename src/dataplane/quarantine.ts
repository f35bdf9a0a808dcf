/**
 * Quarantine of owners whose objects the kernel refuses: bisection finds them, their last good objects stay, and they are
 * tried again with a back-off of their own. One broken Service never stops a node.
 *
 * Isolation touches no object that is in the kernel as wanted: suspects are frozen as they are there (freeze.ts).
 */
import type { Fragment, KernelObject } from './contract.ts';
import { freeze, restore, type Wishes } from './freeze.ts';
import type { KernelState } from './state.ts';
import type { RefusedBatch, Writer } from './writer.ts';

interface QuarantineEntry<O> {
  readonly wanted: Fragment<O> | undefined;
  readonly attempts: number;
  readonly since: number;
  /** Time by `clock`; infinite when only other wishes can help. */
  readonly retryAt: number;
  readonly message: string;
}

export interface QuarantineOptions {
  /** Milliseconds since 1970, for statuses. */
  readonly now: () => number;
  /** Milliseconds of a monotonic clock, for waits. */
  readonly clock: () => number;
  readonly firstRetryMs: number;
  readonly lastRetryMs: number;
  /** Owners without which nothing works: they are never quarantined, so their failure is the sync's. */
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

  /** True if these wishes were refused and their retry is not due yet; they are kept for it. */
  holds(owner: string, wanted: Fragment<O> | undefined): boolean {
    const entry = this.#entries.get(owner);
    if (entry === undefined) return false;
    return this.#options.clock() < entry.retryAt && sameObjects(entry.wanted, wanted);
  }

  /** Replaces the wishes to retry and makes them due, so that after a failed write the former ones are not retried. */
  renew(owner: string, wanted: Fragment<O> | undefined): void {
    const entry = this.#entries.get(owner);
    if (entry !== undefined) this.#entries.set(owner, { ...entry, wanted, retryAt: this.#options.clock() });
  }

  /** Wishes whose retry is due. */
  due(): readonly (readonly [owner: string, wanted: Fragment<O> | undefined])[] {
    const now = this.#options.clock();
    return [...this.#entries].filter(([, p]) => p.retryAt <= now).map(([owner, p]) => [owner, p.wanted] as const);
  }

  /** Milliseconds until the next retry; undefined when no owner waits for one. */
  nextRetryMs(): number | undefined {
    const at = Math.min(...[...this.#entries.values()].map(({ retryAt }) => retryAt));
    return at === Number.POSITIVE_INFINITY ? undefined : Math.max(0, at - this.#options.clock());
  }

  release(owner: string): void {
    this.#entries.delete(owner);
  }

  /** Quarantines an owner whose wishes the kernel refused, until their retry. */
  setAside(owner: string, wanted: Fragment<O> | undefined, message: string): void {
    const { firstRetryMs, lastRetryMs } = this.#options;
    const attempts = this.#entries.get(owner)?.attempts ?? 0;
    this.#enter(owner, wanted, message, Math.min(lastRetryMs, firstRetryMs * 2 ** attempts));
  }

  /** Quarantines an owner that does not compile, until it changes; its last good objects stay. */
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
   * Isolates the owners behind a refusal that reading back did not cure. `pending` holds, for each owner with wishes not yet
   * in the kernel, the last wishes that were. Suspects are frozen until the kernel takes the rest, then unfrozen by halves
   * until each culprit stands alone. Culprits are quarantined; `onGuilty` is called for each, also where a later write fails.
   * Throws the kernel's error when no owner is suspect.
   */
  async isolate(
    refusal: RefusedBatch,
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
      // nothing can be written now: all wishes stay, and are tried as a whole later
      for (const [owner, { wanted }] of held) if (!guilty.has(owner)) this.#state.stage(owner, wanted);
      throw error;
    }
  }

  async #holdSuspects(
    refusal: RefusedBatch,
    pending: ReadonlyMap<string, Fragment<O> | undefined>,
    held: Map<string, Wishes<O>>,
  ): Promise<void> {
    for (let next: RefusedBatch | undefined = refusal; next !== undefined; ) {
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
   * Restores a culprit's last good objects where they are missing, and removes what came with the refused wishes. If that is
   * refused too, the culprit is frozen as it is.
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

  #tryFrozen(owners: readonly string[], held: ReadonlyMap<string, Wishes<O>>): Promise<RefusedBatch | undefined> {
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
  ): Promise<RefusedBatch | undefined> {
    await this.#writer.readBackAfterRefusal();
    for (const [owner, wanted] of wishes()) this.#state.stage(owner, wanted);
    const result = await this.#writer.writeAgain();
    return 'error' in result ? result : undefined;
  }

  /** Owners that the kernel named, else all owners in the refused batch; of these the changed ones, if there are any. */
  #suspects(refusal: RefusedBatch, pending: ReadonlyMap<string, unknown>): readonly string[] {
    const { isEssential } = this.#options;
    const owners = (ids: readonly string[]): readonly string[] =>
      [...new Set(ids.flatMap((id) => this.#state.ownersOf(id)))].filter((owner) => !isEssential(owner));
    const named = owners(refusal.error.suspects);
    const all = named.length > 0 ? named : owners(refusal.ids);
    const changed = all.filter((owner) => pending.has(owner));
    return changed.length > 0 ? changed : all;
  }
}
