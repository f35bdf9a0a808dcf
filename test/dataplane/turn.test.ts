import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atAStretch, byId, inParts, sorting, Turn, withRests } from '../../src/dataplane/turn.ts';

/** How often others had their turn meanwhile. */
const countRests = async (run: () => Promise<unknown>): Promise<number> => {
  let rests = 0;
  const count = (): void => {
    rests += 1;
    pending = setImmediate(count);
  };
  let pending = setImmediate(count);
  await run();
  clearImmediate(pending);
  return rests;
};

/** So many milliseconds at a stretch. */
const busy = (ms: number): void => {
  for (const until = performance.now() + ms; performance.now() < until; );
};

describe('sorting in steps', () => {
  it('gives what sorting at a stretch does, equal ones in the order given', () => {
    const item = fc.record({ key: fc.nat(50), number: fc.nat() });
    fc.assert(
      fc.property(fc.array(item, { maxLength: 5_000, size: 'max' }), (items) => {
        const compare = (a: { key: number }, b: { key: number }): number => a.key - b.key;
        expect(atAStretch(sorting(items, compare))).toEqual([...items].sort(compare));
      }),
      { numRuns: 30 },
    );
  });

  it('has a step for so many items at least', () => {
    const items = Array.from({ length: 20_000 }, (_, i) => (i * 7_919) % 20_011);
    let steps = 0;
    for (const _ of sorting(items, (a, b) => a - b)) steps += 1;
    expect(steps).toBeGreaterThan(items.length);
  });
});

describe('others have their turn', () => {
  it('between parts that take long', async () => {
    const seen: number[] = [];
    const rests = await countRests(() =>
      inParts(
        Array.from({ length: 2_000 }, (_, i) => i),
        (part) => {
          busy(20);
          seen.push(...part);
        },
      ),
    );
    expect(rests).toBeGreaterThanOrEqual(3);
    expect(seen).toEqual(Array.from({ length: 2_000 }, (_, i) => i));
  });

  it('between steps', async () => {
    function* steps(): Generator<undefined, string> {
      for (let i = 0; i < 64; i += 1) {
        busy(1);
        yield;
      }
      return 'done';
    }
    let result = '';
    const rests = await countRests(async () => {
      result = await withRests(steps());
    });
    expect(result).toBe('done');
    expect(rests).toBeGreaterThanOrEqual(3);
  });

  it('while objects are put in order by their ids, of which the last counts', async () => {
    function* objects(): Generator<{ id: string; n: number }> {
      for (let n = 0; n < 64; n += 1) {
        busy(1);
        yield { id: `${n % 40}`, n };
      }
    }
    let found = new Map<string, { n: number }>();
    const rests = await countRests(async () => {
      found = await byId(objects());
    });
    expect(rests).toBeGreaterThanOrEqual(3);
    expect(found.size).toBe(40);
    expect(found.get('3')?.n).toBe(43);
  });

  it('not where little is done', async () => {
    const turn = new Turn();
    expect(Array.from({ length: 10 }, () => turn.isOver())).not.toContain(true);
    expect(await countRests(() => inParts([1, 2, 3], () => undefined))).toBe(0);
  });
});
