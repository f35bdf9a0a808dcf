/**
 * What the kernel counted, summed up by owner since the program began.
 *
 * A kernel object counts from 0 when it is made anew, so what is added is the difference to what it said before; a number
 * that is lower than that is a new beginning. What is there at the first look is where counting starts: a counter that fell
 * with each start of the program, and not to 0, would show traffic that never was.
 */
import { setImmediate as rest } from 'node:timers/promises';
import type { Counts, Traffic } from '../../dataplane/contract.ts';

export type CountName = keyof Counts;
export type Sums = Readonly<Record<CountName, number>>;

export const COUNT_NAMES: readonly CountName[] = ['connections', 'packetsIn', 'packetsOut', 'bytesIn', 'bytesOut'];

/** How long one works at a stretch. */
const SLICE_MS = 8;
/** Objects between two looks at the clock. */
const STRIDE = 100;
/** A list that may lack what is there is believed only when it keeps saying so. */
const MOST_MISSED = 3;
/** Where no list is whole, so many are the first look. */
const FIRST_LISTS = 3;

const NOTHING: Sums = { connections: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };

interface Seen {
  readonly counts: Counts;
  /** How many lists in a row lacked it. */
  readonly missed: number;
}

export class TrafficTotals {
  readonly #sums = new Map<string, Sums>();
  /** By object id, of owners that are of interest. */
  #seen = new Map<string, Seen>();
  #lists = 0;
  #isBegun = false;

  of(owner: string): Sums {
    return this.#sums.get(owner) ?? NOTHING;
  }

  forget(owner: string): void {
    this.#sums.delete(owner);
  }

  /** Takes what was read, slice by slice; `ownerOf` gives undefined for an object that is of no interest. */
  async take({ counts, isWhole }: Traffic, ownerOf: (id: string) => string | undefined): Promise<void> {
    const seen = new Map<string, Seen>();
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

  /** Gives what the object is known to have counted now. */
  #add(owner: string, id: string, now: Counts): Counts {
    const before = this.#seen.get(id)?.counts;
    if (before !== undefined || this.#isBegun) this.#sums.set(owner, added(this.of(owner), now, before));
    return { ...before, ...now };
  }

  #keepMissing(seen: Map<string, Seen>): void {
    for (const [id, { counts, missed }] of this.#seen) {
      if (!seen.has(id) && missed < MOST_MISSED) seen.set(id, { counts, missed: missed + 1 });
    }
  }
}

const added = (sums: Sums, now: Counts, before: Counts = {}): Sums => ({
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
