/**
 * Both sides of `diff(have, want)`: the wanted kernel objects, and those that the kernel is believed to have.
 *
 * Wishes come in by owner, go through claims and (where the backend has one) its arranger, and end as kernel objects.
 * Only ids that an event touched are compared, so a change costs what it changes.
 */
import type { Arranger, Change, Fragment, KernelObject } from './contract.ts';
import { change, Desired } from './desired.ts';
import type { FreezeView } from './freeze.ts';
import { type MeasureOf, ObjectCounts } from './object-counts.ts';
import type { Drift } from './status.ts';
import { Turn } from './turn.ts';

/** Granted wishes that are arranged without a rest. */
const ARRANGED_AT_ONCE = 250;

/** Differences of the objects found from those left in the kernel, but for ids that are passed over. */
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
  readonly #objectCounts: ObjectCounts<O>;
  #have = new Map<string, O>();
  /** Ids of objects that came into the kernel with the wishes being written. */
  readonly #added = new Set<string>();
  /** Changes of granted wishes that are not arranged yet: many at once cost less than one by one. */
  readonly #wished: Change<O>[] = [];

  constructor(arranger: Arranger<O> | undefined, measure?: MeasureOf<O>) {
    this.#arranger = arranger;
    this.#objectCounts = new ObjectCounts(measure);
  }

  get want(): ReadonlyMap<string, O> {
    this.#arrangeAll();
    return this.#want;
  }

  get have(): ReadonlyMap<string, O> {
    return this.#have;
  }

  /** Counts of the kernel's objects for metrics. */
  get counts(): ReadonlyMap<string, number> {
    return this.#objectCounts.counts;
  }

  /** Replaces an owner's wishes; undefined: none. */
  stage(owner: string, fragment: Fragment<O> | undefined): void {
    this.#wished.push(...this.desired.put(owner, fragment));
  }

  /** Changes to write. Costs what changed, with rests. */
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

  /** Marks these objects as in the kernel as wanted. */
  applied(ids: Iterable<string>): void {
    for (const id of ids) {
      if (!this.#have.has(id) && this.#want.has(id)) this.#added.add(id);
      this.#put(id, this.#want.get(id));
      this.#dirty.delete(id);
    }
  }

  /** Ends a write: ids that are still dirty are as wanted, or left to the next audit. */
  settled(): void {
    this.#dirty.clear();
  }

  /**
   * Adopts the objects that were read as those the kernel has, and marks all ids for comparison. Returns how they differ from
   * what was believed, but for `unknown` ids, of which nothing was believed. The state has no other user until this is done.
   */
  async adopt(found: ReadonlyMap<string, O>, unknown: ReadonlySet<string> = new Set()): Promise<Drift> {
    const turn = new Turn();
    const drift = await driftBetween(this.#have, found, (id) => unknown.has(id));
    for (const id of unknown) if (found.has(id) && !this.#have.has(id)) this.#added.add(id);
    const have = new Map<string, O>();
    this.#objectCounts.clear();
    for (const [id, object] of found) {
      if (turn.isOver()) await turn.rest();
      have.set(id, object);
      this.#objectCounts.change(undefined, object);
      this.#dirty.add(id);
    }
    this.#have = have;
    for (const id of this.#want.keys()) {
      if (turn.isOver()) await turn.rest();
      this.#dirty.add(id);
    }
    return drift;
  }

  /** Ends a round of writes: all staged wishes are in the kernel. */
  done(): void {
    this.#added.clear();
  }

  /** Freeze view without the objects that came into the kernel with the wishes being written. Costs the kernel's objects. */
  freezeViewBefore(isFrozen: (owner: string) => boolean): FreezeView<O> {
    const have = new Map([...this.#have].filter(([id]) => !this.#added.has(id)));
    return { ...this.freezeView(isFrozen), have, standing: this.#arranger?.standing(have) };
  }

  /** Freeze view of the kernel and of other owners' claims. Costs the kernel's objects. */
  freezeView(isFrozen: (owner: string) => boolean): FreezeView<O> {
    return {
      have: this.#have,
      standing: this.#arranger?.standing(this.#have),
      wantedByOthers: (id) => this.desired.claimsOfOthers(id, isFrozen),
    };
  }

  /** Corrects one object to what was found in the kernel; undefined: it is not there. */
  correct(id: string, found: O | undefined): void {
    this.#put(id, found);
    this.#dirty.add(id);
  }

  /** Owners of parts of a kernel object, arranged ones included. */
  ownersOf(id: string): readonly string[] {
    this.#arrangeAll();
    const sources = this.#arranger?.sources(id) ?? [];
    const ids = sources.length > 0 ? sources : [id];
    return [...new Set(ids.flatMap((source) => this.desired.claimants(source)))];
  }

  /** True where one kernel object may hold parts of several owners' wishes. */
  get isMixed(): boolean {
    return this.#arranger?.mixes === true;
  }

  /** Ids of the kernel objects into which each of these wishes was arranged; wishes that are kernel objects are absent. */
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

  /** Owner of a kernel object; undefined for one of several owners. */
  ownerOf(id: string): string | undefined {
    const [claimant] = this.desired.claimants(id);
    return claimant ?? (this.isMixed ? undefined : this.ownersOf(id)[0]);
  }

  #put(id: string, object: O | undefined): void {
    this.#objectCounts.change(this.#have.get(id), object);
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
