/**
 * Sums of the kernel's counts by owner since the start of the program.
 *
 * Each read adds the difference to the read before; a lower count is that of an object that was made anew and counts from 0.
 * The first read adds nothing: a counter that fell with each start of the program, and not to 0, would show traffic that
 * never was.
 */
import { setImmediate as rest } from 'node:timers/promises';
import type { ObjectTraffic, TrafficCounts } from '../../dataplane/contract.ts';

export type CountName = keyof TrafficCounts;
export type Sums = Readonly<Record<CountName, number>>;

export const COUNT_NAMES: readonly CountName[] = ['connections', 'packetsIn', 'packetsOut', 'bytesIn', 'bytesOut'];

/** Longest work between two rests. */
const SLICE_MS = 8;
/** Objects between two reads of the clock. */
const STRIDE = 100;
/** Incomplete reads in a row that may lack an object before it counts as gone. */
const MOST_MISSED = 3;
/** Incomplete reads that together count as the first read. */
const FIRST_LISTS = 3;

const NOTHING: Sums = { connections: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };

interface LastCounts {
  readonly counts: TrafficCounts;
  /** Number of reads in a row that lacked the object. */
  readonly missed: number;
}

export class TrafficTotals {
  readonly #sums = new Map<string, Sums>();
  /** Last counts by object id, of owners that are shown. */
  #seen = new Map<string, LastCounts>();
  #lists = 0;
  #isBegun = false;

  of(owner: string): Sums {
    return this.#sums.get(owner) ?? NOTHING;
  }

  forget(owner: string): void {
    this.#sums.delete(owner);
  }

  /** Adds a read, with rests; `ownerOf` returns undefined for an object that is not shown. */
  async take({ counts, isWhole }: ObjectTraffic, ownerOf: (id: string) => string | undefined): Promise<void> {
    const seen = new Map<string, LastCounts>();
    let until = performance.now() + SLICE_MS;
    let done = 0;
    for (const [id, now] of counts) {
      const owner = ownerOf(id);
      if (owner !== undefined) seen.set(id, { counts: this.#add(owner, id, now), missed: 0 });
      done += 1;
      if (done % STRIDE > 0 || performance.now() < until) continue;
      await rest();
      until = performance.now() + SLICE_MS;
    }
    if (!isWhole) this.#keepMissing(seen);
    this.#seen = seen;
    this.#lists += 1;
    this.#isBegun ||= isWhole || this.#lists === FIRST_LISTS;
  }

  /** Adds an object's increase to its owner's sums; returns the object's counts. */
  #add(owner: string, id: string, now: TrafficCounts): TrafficCounts {
    const before = this.#seen.get(id)?.counts;
    if (before !== undefined || this.#isBegun) this.#sums.set(owner, added(this.of(owner), now, before));
    return { ...before, ...now };
  }

  #keepMissing(seen: Map<string, LastCounts>): void {
    for (const [id, { counts, missed }] of this.#seen) {
      if (!seen.has(id) && missed < MOST_MISSED) seen.set(id, { counts, missed: missed + 1 });
    }
  }
}

const added = (sums: Sums, now: TrafficCounts, before: TrafficCounts = {}): Sums => ({
  connections: sums.connections + increase(now.connections, before.connections),
  packetsIn: sums.packetsIn + increase(now.packetsIn, before.packetsIn),
  packetsOut: sums.packetsOut + increase(now.packetsOut, before.packetsOut),
  bytesIn: sums.bytesIn + increase(now.bytesIn, before.bytesIn),
  bytesOut: sums.bytesOut + increase(now.bytesOut, before.bytesOut),
});

const increase = (now: number | undefined, before = 0): number => {
  if (now === undefined) return 0;
  return now < before ? now : now - before;
};
