/** When a page is made anew, by a clock that the test moves. */
import { describe, expect, it } from 'vitest';
import { Rendering } from '../../src/observe/rendering.ts';

/** A page that takes `tookMs` to make: its number. */
const bench = (tookMs: number) => {
  let now = 5_000;
  let made = 0;
  let isHeld = false;
  const rendering = new Rendering({
    make: async () => {
      now += tookMs;
      made += 1;
      return String(made);
    },
    isHeld: () => isHeld,
    now: () => now,
  });
  return {
    get: async () => String(await rendering.get()),
    pass: (ms: number) => {
      now += ms;
    },
    read: (is: boolean) => {
      isHeld = is;
    },
  };
};

describe('a rendering', () => {
  it('takes a tenth of the time at most', async () => {
    const { get, pass } = bench(50);
    expect(await get()).toBe('1');
    pass(449);
    expect(await get()).toBe('1');
    pass(1);
    expect(await get()).toBe('2');
  });

  it('is never older than a second, however dear it is', async () => {
    const { get, pass } = bench(400);
    await get();
    pass(599);
    expect(await get()).toBe('1');
    pass(1);
    expect(await get()).toBe('2');
  });

  it('is for all who come within a second while somebody reads it', async () => {
    const { get, pass, read } = bench(1);
    await get();
    read(true);
    pass(998);
    expect(await get()).toBe('1');
    read(false);
    expect(await get()).toBe('2');
    read(true);
    pass(999);
    expect(await get()).toBe('3');
  });

  it('that fails is tried again by the next who asks', async () => {
    let isFailing = true;
    const make = async () => {
      if (isFailing) throw new Error('a bug');
      return 'page';
    };
    const rendering = new Rendering({ make, isHeld: () => false });
    await expect(Promise.all([rendering.get(), rendering.get()])).rejects.toThrow('a bug');
    isFailing = false;
    expect(String(await rendering.get())).toBe('page');
  });
});
