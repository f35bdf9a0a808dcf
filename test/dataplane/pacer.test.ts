import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Pacer } from '../../src/dataplane/pacer.ts';

const MIN_MS = 100;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Run {
  readonly from: number;
  to: number | undefined;
}

interface Bench {
  readonly pacer: Pacer;
  /** Runs so far, in milliseconds since the bench began. */
  readonly runs: readonly Run[];
  readonly at: (ms: number) => Promise<void>;
}

/** A pacer whose n-th run takes so long and asks for another one so much later; the last entry counts for all further. */
const bench = (plan: readonly { readonly takes: number; readonly again?: number }[] = [{ takes: 0 }]): Bench => {
  const zero = performance.now();
  const now = (): number => Math.round(performance.now() - zero);
  const runs: Run[] = [];
  const pacer = new Pacer(async () => {
    const step = plan[Math.min(runs.length, plan.length - 1)];
    const run: Run = { from: now(), to: undefined };
    runs.push(run);
    if (step !== undefined && step.takes > 0) await new Promise((resolve) => setTimeout(resolve, step.takes));
    run.to = now();
    return step?.again;
  }, MIN_MS);
  const at = async (ms: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(ms - now());
  };
  return { pacer, runs, at };
};

const starts = (runs: readonly Run[]): readonly number[] => runs.map(({ from }) => from);

describe('the pacer', () => {
  it('does nothing unasked', async () => {
    const { runs, at } = bench();
    await at(10_000);
    expect(runs).toEqual([]);
  });

  it('runs at once when idle, at the start and long after', async () => {
    const { pacer, runs, at } = bench();
    pacer.request();
    await at(0);
    expect(starts(runs)).toEqual([0]);
    await at(5_000);
    pacer.request();
    await at(5_000);
    expect(starts(runs)).toEqual([0, 5_000]);
  });

  it('takes many requests before a run as one', async () => {
    const { pacer, runs, at } = bench();
    for (let i = 0; i < 50; i += 1) pacer.request();
    await at(10_000);
    expect(runs).toHaveLength(1);
  });

  it('keeps the minimum interval between runs', async () => {
    const { pacer, runs, at } = bench();
    for (let ms = 0; ms < 1_000; ms += 10) {
      await at(ms);
      pacer.request();
    }
    await at(2_000);
    expect(starts(runs)).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
  });

  it('rests no longer than a second, however long a run took', async () => {
    const { pacer, runs, at } = bench([{ takes: 8_000 }, { takes: 0 }]);
    pacer.request();
    await at(4_000);
    pacer.request();
    await at(20_000);
    expect(starts(runs)).toEqual([0, 9_000]);
  });

  it('rests twice as long as a long run took', async () => {
    const { pacer, runs, at } = bench([{ takes: 500 }, { takes: 0 }]);
    pacer.request();
    await at(10);
    pacer.request();
    await at(5_000);
    expect(runs).toEqual([
      { from: 0, to: 500 },
      { from: 1_500, to: 1_500 },
    ]);
  });

  it('makes one more run of all requests that come during one, and none without', async () => {
    const { pacer, runs, at } = bench([{ takes: 50 }]);
    pacer.request();
    await at(10);
    for (let i = 0; i < 5; i += 1) pacer.request();
    await at(5_000);
    expect(runs).toHaveLength(2);
  });

  it('runs again unasked when the last run says so, and not for ever', async () => {
    const { runs, pacer, at } = bench([{ takes: 0, again: 700 }, { takes: 0, again: 300 }, { takes: 0 }]);
    pacer.request();
    await at(10_000);
    expect(starts(runs)).toEqual([0, 700, 1_000]);
  });

  it('gives a run that it makes unasked no less rest than others', async () => {
    const { runs, pacer, at } = bench([{ takes: 200, again: 0 }, { takes: 0, again: 1 }, { takes: 0 }]);
    pacer.request();
    await at(10_000);
    expect(starts(runs)).toEqual([0, 600, 700]);
  });

  it('does not wait for the next try when something is asked for before', async () => {
    const { runs, pacer, at } = bench([{ takes: 0, again: 5_000 }, { takes: 0 }]);
    pacer.request();
    await at(1_000);
    pacer.request();
    await at(20_000);
    expect(starts(runs)).toEqual([0, 1_000]);
  });

  it('stops after the run under way, and takes no more requests', async () => {
    const { runs, pacer, at } = bench([{ takes: 300, again: 10 }]);
    pacer.request();
    await at(100);
    pacer.request();
    let stopped = false;
    void pacer.stop().then(() => {
      stopped = true;
    });
    await at(299);
    expect(stopped).toBe(false);
    await at(300);
    expect(stopped).toBe(true);
    pacer.request();
    await at(20_000);
    expect(runs).toEqual([{ from: 0, to: 300 }]);
  });

  it('drops a run that was due when it is stopped', async () => {
    const { runs, pacer, at } = bench();
    pacer.request();
    await pacer.stop();
    await at(1_000);
    expect(runs).toEqual([]);
  });
});

describe('whatever comes when', () => {
  const request = fc.record({ after: fc.integer({ min: 0, max: 400 }), times: fc.integer({ min: 1, max: 3 }) });
  const step = fc.record({
    takes: fc.integer({ min: 0, max: 300 }),
    again: fc.option(fc.integer({ min: 0, max: 500 }), { nil: undefined }),
  });

  it('no two runs overlap, each rests long enough, and no request is forgotten', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { maxLength: 20 }),
        fc.array(step, { maxLength: 10 }),
        async (requests, steps) => {
          const plan = [
            ...steps.map(({ takes, again }) => (again === undefined ? { takes } : { takes, again })),
            { takes: 5 },
          ];
          const { pacer, runs, at } = bench(plan);
          const asked: number[] = [];
          let now = 0;
          for (const { after, times } of requests) {
            now += after;
            await at(now);
            for (let i = 0; i < times; i += 1) pacer.request();
            asked.push(now);
          }
          await at(now + 100_000);
          await pacer.stop();
          for (const [i, { from, to = Number.NaN }] of runs.entries()) {
            const next = runs[i + 1];
            if (next !== undefined) expect(next.from).toBeGreaterThanOrEqual(to + Math.max(MIN_MS, 2 * (to - from)));
          }
          for (const ms of asked) expect(runs.some(({ from }) => from >= ms)).toBe(true);
          if (requests.length === 0) expect(runs).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  });
});
