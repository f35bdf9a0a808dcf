/** What is summed up of counters that begin anew, are missing, or change hands. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TrafficCounts } from '../../../src/dataplane/contract.ts';
import { TrafficTotals } from '../../../src/observe/traffic/totals.ts';

type Numbers = Readonly<Record<string, number | TrafficCounts>>;

/** By object: what it says, a number being its connections. Objects are their owners', by the first letter. */
const reading = (numbers: Numbers, isWhole = true) => ({
  counts: new Map(
    Object.entries(numbers).map(([id, says]) => [id, typeof says === 'number' ? { connections: says } : says]),
  ),
  isWhole,
});
const ownerOf = (id: string): string | undefined => (id.startsWith('x') ? undefined : id.charAt(0));

/** Begun with this reading; then these are taken one by one. */
const readings = async (begin: Numbers, ...later: readonly Numbers[]): Promise<TrafficTotals> => {
  const totals = new TrafficTotals();
  for (const numbers of [begin, ...later]) await totals.take(reading(numbers), ownerOf);
  return totals;
};

describe('totals', () => {
  it('begin with the first reading: what was counted before is not ours', async () => {
    expect((await readings({ a1: 1_000 })).of('a').connections).toBe(0);
    expect((await readings({ a1: 1_000 }, { a1: 1_003 })).of('a').connections).toBe(3);
  });

  it('begin with a few readings, where the first are not whole', async () => {
    const totals = new TrafficTotals();
    await totals.take(reading({ a1: 1_000 }, false), ownerOf);
    await totals.take(reading({ a1: 1_001, a2: 500 }, false), ownerOf);
    await totals.take(reading({ a1: 1_002, a2: 501, a3: 70 }, false), ownerOf);
    await totals.take(reading({ a1: 1_002, a2: 501, a3: 71, a4: 10 }, false), ownerOf);
    expect(totals.of('a').connections).toBe(2 + 1 + 1 + 10);
  });

  it('count all of an object that came later, and of several objects of an owner', async () => {
    const totals = await readings({ a1: 5 }, { a1: 6, a2: 10, b1: 7 }, { a1: 6, a2: 12, b1: 7 });
    expect([totals.of('a').connections, totals.of('b').connections]).toEqual([13, 7]);
  });

  it('take a lower number for a new beginning', async () => {
    expect((await readings({ a1: 100 }, { a1: 110 }, { a1: 4 }, { a1: 6 })).of('a').connections).toBe(16);
  });

  it('keep what objects counted that are gone, and begin anew with those that come back', async () => {
    expect((await readings({ a1: 0 }, { a1: 10 }, {}, { a1: 12 })).of('a').connections).toBe(22);
  });

  it('do not count twice what a list that is not whole left out', async () => {
    const totals = await readings({ a1: 0 }, { a1: 10 });
    for (let i = 0; i < 3; i += 1) await totals.take(reading({}, false), ownerOf);
    await totals.take(reading({ a1: 12 }), ownerOf);
    expect(totals.of('a').connections).toBe(12);
  });

  it('do not remember for ever what such lists leave out', async () => {
    const totals = await readings({ a1: 0 }, { a1: 10 });
    for (let i = 0; i < 4; i += 1) await totals.take(reading({}, false), ownerOf);
    await totals.take(reading({ a1: 12 }), ownerOf);
    expect(totals.of('a').connections).toBe(22);
  });

  it('keep what half of a list does not say of an object', async () => {
    const totals = await readings({ a1: { packetsIn: 0, bytesIn: 0 } }, { a1: { packetsIn: 5, bytesIn: 500 } });
    await totals.take(reading({ a1: { packetsIn: 6 } }, false), ownerOf);
    await totals.take(reading({ a1: { packetsIn: 7, bytesIn: 700 } }), ownerOf);
    expect(totals.of('a')).toMatchObject({ packetsIn: 7, bytesIn: 700 });
  });

  it('give an object that changes hands to the new owner from then on', async () => {
    const totals = new TrafficTotals();
    let owner = 'old';
    for (const [count, now] of [
      [0, 'old'],
      [50, 'old'],
      [53, 'new'],
    ] as const) {
      owner = now;
      await totals.take(reading({ s: count }), () => owner);
    }
    expect([totals.of('old').connections, totals.of('new').connections]).toEqual([50, 3]);
  });

  it('forget an owner that is gone', async () => {
    const totals = await readings({ a1: 0 }, { a1: 10 });
    totals.forget('a');
    expect(totals.of('a').connections).toBe(0);
  });

  it('pass over what is of no interest', async () => {
    const totals = await readings({ x1: 0 }, { x1: 10 });
    expect(totals.of('x').connections).toBe(0);
  });

  it('never fall, and are the sum of all growth, whatever counters do', async () => {
    const step = fc.oneof(
      fc.nat({ max: 50 }).map((by) => ({ by })),
      fc.constant({ by: undefined }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const totals = await readings({ a1: 0 });
        let counter = 0;
        let sum = 0;
        for (const { by } of steps) {
          // what is made anew is seen at 0 at least once
          counter = by === undefined ? 0 : counter + by;
          sum += by ?? 0;
          await totals.take(reading({ a1: counter }), ownerOf);
          expect(totals.of('a').connections).toBe(sum);
        }
      }),
    );
  });

  it('leave other work its turns', async () => {
    const totals = new TrafficTotals();
    const many = Object.fromEntries(Array.from({ length: 300_000 }, (_, i) => [`a${i}`, i]));
    const numbers = reading(many);
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      immediate = setImmediate(turn);
    };
    let immediate = setImmediate(turn);
    await totals.take(numbers, ownerOf);
    clearImmediate(immediate);
    expect(turns).toBeGreaterThan(3);
  });
});
