/**
 * The two sides of the one operation: what we want in the kernel, and what we believe is there.
 *
 * Wishes come in by owner, go through claims and (where the backend has one) its arranger, and end as kernel objects.
 * Only ids that an event touched are ever compared, so a change costs what it changes.
 */
import type { Arranger, Change, Fragment, KernelObject } from './contract.ts';
import { change, Desired } from './desired.ts';
import type { FreezeView } from './freeze.ts';
import type { Drift } from './status.ts';
import { type MeasureOf, Tally } from './tally.ts';
import { Turn } from './turn.ts';

/** Granted wishes that are arranged at a stretch. */
const ARRANGED_AT_ONCE = 250;

/** How what was found differs from what was left; ids to be passed over are not looked at. */
export const driftBetween = async <O extends KernelObject>(
  left: ReadonlyMap<string, O>,
  found: ReadonlyMap<string, O>,
  isPassed: (id: string) => boolean,
): Promise<Drift> => {
  const missing: string[] = [];
  const changed: string[] = [];
  const foreign: string[] = [];
  const turn = new Turn();
  for (const [id, object] of left) {
    if (turn.isOver()) await turn.rest();
    const there = found.get(id);
    if (isPassed(id) || there?.content === object.content) continue;
    (there === undefined ? missing : changed).push(id);
  }
  for (const id of found.keys()) {
    if (turn.isOver()) await turn.rest();
    if (!left.has(id) && !isPassed(id)) foreign.push(id);
  }
  return { missing, changed, foreign };
};

export class KernelState<O extends KernelObject> {
  readonly desired = new Desired<O>();
  readonly #arranger: Arranger<O> | undefined;
  readonly #want = new Map<string, O>();
  readonly #dirty = new Set<string>();
  readonly #tally: Tally<O>;
  #have = new Map<string, O>();
  /** Objects that were not there before the wishes that are being written. */
  readonly #added = new Set<string>();
  /** Granted wishes that are not arranged yet: many at once cost less than one by one. */
  readonly #wished: Change<O>[] = [];

  constructor(arranger: Arranger<O> | undefined, measure?: MeasureOf<O>) {
    this.#arranger = arranger;
    this.#tally = new Tally(measure);
  }

  get want(): ReadonlyMap<string, O> {
    this.#arrangeAll();
    return this.#want;
  }

  get have(): ReadonlyMap<string, O> {
    return this.#have;
  }

  /** What metrics count of what the kernel has. */
  get counts(): ReadonlyMap<string, number> {
    return this.#tally.counts;
  }

  /** Takes an owner's wishes; undefined = it wants nothing any more. */
  stage(owner: string, fragment: Fragment<O> | undefined): void {
    this.#wished.push(...this.desired.put(owner, fragment));
  }

  /** What has to be written. Costs what changed, with rests. */
  async changes(): Promise<readonly Change<O>[]> {
    const turn = new Turn();
    while (this.#wished.length > 0) {
      this.#arrange(this.#wished.splice(0, ARRANGED_AT_ONCE));
      if (turn.isLong()) await turn.rest();
    }
    const changes: Change<O>[] = [];
    for (const id of this.#dirty) {
      if (turn.isOver()) await turn.rest();
      changes.push(...change(this.#have.get(id), this.#want.get(id)));
    }
    return changes;
  }

  /** These objects are in the kernel now as they are wanted. */
  applied(ids: Iterable<string>): void {
    for (const id of ids) {
      if (!this.#have.has(id) && this.#want.has(id)) this.#added.add(id);
      this.#put(id, this.#want.get(id));
      this.#dirty.delete(id);
    }
  }

  /** Everything that was dirty turned out to be as wanted, or is given up until it is looked at again. */
  settled(): void {
    this.#dirty.clear();
  }

  /**
   * The kernel was read: all of it is compared from now on. Gives how it differs from what was believed, but for these ids,
   * of which nothing was known. Nothing else may use the state until it is done.
   */
  async learn(found: ReadonlyMap<string, O>, unknown: ReadonlySet<string> = new Set()): Promise<Drift> {
    const turn = new Turn();
    const drift = await driftBetween(this.#have, found, (id) => unknown.has(id));
    for (const id of unknown) if (found.has(id) && !this.#have.has(id)) this.#added.add(id);
    const have = new Map<string, O>();
    this.#tally.clear();
    for (const [id, object] of found) {
      if (turn.isOver()) await turn.rest();
      have.set(id, object);
      this.#tally.change(undefined, object);
      this.#dirty.add(id);
    }
    this.#have = have;
    for (const id of this.#want.keys()) {
      if (turn.isOver()) await turn.rest();
      this.#dirty.add(id);
    }
    return drift;
  }

  /** All wishes that were to be written are. */
  done(): void {
    this.#added.clear();
  }

  /** The same as if what came with the wishes that are being written were not there. */
  freezeViewBefore(isFrozen: (owner: string) => boolean): FreezeView<O> {
    const have = new Map([...this.#have].filter(([id]) => !this.#added.has(id)));
    return { ...this.freezeView(isFrozen), have, standing: this.#arranger?.standing(have) };
  }

  /** What freezing these owners needs to know of the kernel and of others. Costs what the kernel holds. */
  freezeView(isFrozen: (owner: string) => boolean): FreezeView<O> {
    return {
      have: this.#have,
      standing: this.#arranger?.standing(this.#have),
      wantedByOthers: (id) => this.desired.claimsOfOthers(id, isFrozen),
    };
  }

  /** One object was found to be otherwise than believed; undefined = it is not there. */
  correct(id: string, found: O | undefined): void {
    this.#put(id, found);
    this.#dirty.add(id);
  }

  /** Owners that have a part in a kernel object, arranged ones included. */
  ownersOf(id: string): readonly string[] {
    this.#arrangeAll();
    const sources = this.#arranger?.sources(id) ?? [];
    const ids = sources.length > 0 ? sources : [id];
    return [...new Set(ids.flatMap((source) => this.desired.claimants(source)))];
  }

  /** Whether one kernel object may hold parts of several owners' wishes. */
  get isMixed(): boolean {
    return this.#arranger?.mixes === true;
  }

  /** Of these wishes, into which kernel objects each was arranged; without those that went through as they are. */
  partsOf(wishes: ReadonlySet<string>): ReadonlyMap<string, readonly string[]> {
    this.#arrangeAll();
    const parts = new Map<string, string[]>();
    if (this.#arranger === undefined) return parts;
    for (const id of this.#want.keys()) {
      for (const source of this.#arranger.sources(id)) {
        if (!wishes.has(source)) continue;
        const known = parts.get(source);
        if (known === undefined) parts.set(source, [id]);
        else known.push(id);
      }
    }
    return parts;
  }

  /** Whose object it is, where it is one owner's. */
  ownerOf(id: string): string | undefined {
    const [claimant] = this.desired.claimants(id);
    return claimant ?? (this.isMixed ? undefined : this.ownersOf(id)[0]);
  }

  #put(id: string, object: O | undefined): void {
    this.#tally.change(this.#have.get(id), object);
    if (object === undefined) this.#have.delete(id);
    else this.#have.set(id, object);
  }

  #arrangeAll(): void {
    if (this.#wished.length > 0) this.#arrange(this.#wished.splice(0));
  }

  #arrange(wished: readonly Change<O>[]): void {
    for (const { op, object } of this.#arranger?.arrange(wished) ?? wished) {
      if (op === 'remove') this.#want.delete(object.id);
      else this.#want.set(object.id, object);
      this.#dirty.add(object.id);
    }
  }
}
