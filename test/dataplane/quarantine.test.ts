import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Batch, Change } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { FakeKernel, type FakeObject, input, service } from './fake-backend.ts';

const bench = (lastRetryMs = 30_000) => {
  const kernel = new FakeKernel();
  const clock = { ms: 1_000_000 };
  const heard: string[] = [];
  const released: string[] = [];
  const reconciler = new Reconciler(kernel, {
    signal: new AbortController().signal,
    now: () => clock.ms,
    clock: () => clock.ms,
    lastRetryMs,
    onQuarantine: (owner, message) => heard.push(`${owner}: ${message}`),
    onRelease: (owner, isServed) => released.push(`${owner} ${isServed}`),
  });
  const stateOf = (name: string): string => reconciler.status(`ns/${name}:p/TCP`).state;
  return { kernel, clock, heard, released, reconciler, stateOf };
};

const refuseTo = (kernel: FakeKernel, ...names: readonly string[]): void => {
  kernel.refuses = (content) => names.some((name) => content === `to ${name}`);
};

describe('whom the kernel refuses', () => {
  it('waits twice as long after each try, up to the longest wait', async () => {
    const { kernel, clock, reconciler } = bench(5_000);
    refuseTo(kernel, 'a');
    await reconciler.sync(input([service('a', '10.0.0.1', [])]));
    const waits: (number | undefined)[] = [];
    for (let i = 0; i < 5; i += 1) {
      waits.push(reconciler.nextRetryMs);
      clock.ms += reconciler.nextRetryMs ?? 0;
      await reconciler.sync(input([]));
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 5_000, 5_000]);
    expect(reconciler.status('ns/a:p/TCP')).toMatchObject({ state: 'Quarantined', attempts: 6, since: 1_000_000 });
  });

  it.each([86_400_000, -86_400_000])(
    'waits no longer and no shorter when the wall clock is set by %i ms',
    async (jump) => {
      const kernel = new FakeKernel();
      const time = { wall: 1_000_000_000, ms: 0 };
      const reconciler = new Reconciler(kernel, {
        signal: new AbortController().signal,
        now: () => time.wall + time.ms,
        clock: () => time.ms,
      });
      refuseTo(kernel, 'a');
      await reconciler.sync(input([service('a', '10.0.0.1', [])]));
      const tries: number[] = [];
      for (const toWait of [1_000, 2_000, 4_000]) {
        time.wall += jump;
        expect(reconciler.nextRetryMs).toBe(toWait);
        time.ms += toWait - 1;
        await reconciler.sync(input([]));
        time.ms += 1;
        await reconciler.sync(input([]));
        tries.push(reconciler.status('ns/a:p/TCP').attempts);
      }
      expect(tries).toEqual([2, 3, 4]);
      expect(reconciler.status('ns/a:p/TCP').since).toBe(1_000_000_000);
    },
  );

  it('is not tried before its time though it is handed in again unchanged', async () => {
    const { kernel, reconciler } = bench();
    refuseTo(kernel, 'a');
    const a = service('a', '10.0.0.1', ['1.1.1.1']);
    await reconciler.sync(input([a, service('b', '10.0.0.2', [])]));
    kernel.log.length = 0;
    const { reads } = kernel;
    await reconciler.sync(input([a]));
    expect(kernel.log).toEqual([]);
    expect(kernel.reads).toBe(reads);
  });

  it('is let out at once when it wants again what is in the kernel', async () => {
    const { kernel, reconciler, stateOf } = bench();
    const good = service('a', '10.0.0.1', ['1.1.1.1']);
    await reconciler.sync(input([good]));
    kernel.refuses = (content) => content === '10.0.0.9';
    await reconciler.sync(input([service('a', '10.0.0.9', ['1.1.1.2'])]));
    expect(stateOf('a')).toBe('Quarantined');
    await reconciler.sync(input([good]));
    expect(stateOf('a')).toBe('Done');
    expect(reconciler.nextRetryMs).toBeUndefined();
  });

  it('is said to be served again once, when it is', async () => {
    const { kernel, clock, heard, released, reconciler } = bench();
    refuseTo(kernel, 'a');
    await reconciler.sync(input([service('a', '10.0.0.1', []), service('b', '10.0.0.2', [])]));
    clock.ms += 1_000;
    await reconciler.sync(input([])); // tried again, refused again
    expect(released).toEqual([]);
    kernel.refuses = () => false;
    clock.ms += 2_000;
    await reconciler.sync(input([]));
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    expect(heard).toHaveLength(1);
    expect(released).toEqual(['ns/a:p/TCP true']);
  });

  it('is said to be wanted no more when it is gone', async () => {
    const { kernel, released, reconciler } = bench();
    refuseTo(kernel, 'a');
    await reconciler.sync(input([service('a', '10.0.0.1', []), service('b', '10.0.0.2', [])]));
    await reconciler.sync(input([], ['ns/a:p/TCP', 'ns/b:p/TCP']));
    expect(released).toEqual(['ns/a:p/TCP false']);
  });

  it('is forgotten when it is gone, with its last good objects', async () => {
    const { kernel, reconciler } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    kernel.refuses = (content) => content === '10.0.0.9';
    await reconciler.sync(input([service('a', '10.0.0.9', ['1.1.1.2'])]));
    await reconciler.sync(input([], ['ns/a:p/TCP']));
    expect(kernel.dump()).toEqual(['base: za']);
    expect(reconciler.statuses().map(({ owner }) => owner)).toEqual(['base']);
    expect(reconciler.nextRetryMs).toBeUndefined();
  });

  it.each([
    { names: false, most: 4 * Math.log2(1_024) },
    { names: true, most: 6 },
  ])('is found among many in a few writes (the kernel names it: $names)', async ({ names, most }) => {
    const { kernel, heard, reconciler } = bench();
    await reconciler.sync(input([]));
    kernel.names = names;
    let tries = 0;
    kernel.disturb = (what) => {
      if (what === 'apply') tries += 1;
    };
    refuseTo(kernel, 's777');
    await reconciler.sync(input(Array.from({ length: 1_024 }, (_, i) => service(`s${i}`, `vip ${i}`, []))));
    expect(heard).toEqual(['ns/s777:p/TCP: refused: vip vip 777']);
    expect(kernel.objects.size).toBe(1_024); // the base and all but one
    expect(tries).toBeLessThan(most);
  });

  it('costs nobody a wish that came with it, though the kernel refuses several at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 0, max: 19 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 30 }),
        fc.boolean(),
        fc.boolean(),
        async (bad, maxBatch, names, isFirstSync) => {
          const { kernel, reconciler } = bench();
          kernel.maxBatch = maxBatch;
          kernel.names = names;
          if (!isFirstSync) await reconciler.sync(input([]));
          refuseTo(kernel, ...bad.map((i) => `s${i}`));
          await reconciler.sync(
            input(Array.from({ length: 20 }, (_, i) => service(`s${i}`, `10.0.0.${i}`, [`1.1.1.${i}`]))),
          );
          const quarantined = reconciler.statuses().filter(({ state }) => state === 'Quarantined');
          expect(quarantined.map(({ owner }) => owner).sort()).toEqual(bad.map((i) => `ns/s${i}:p/TCP`).sort());
          expect(kernel.objects.size).toBe(1 + 2 * (20 - bad.length));
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('who cannot be compiled', () => {
  const broken = service('a', 'throws', []);

  it('keeps its last good objects for as long as it stays so', async () => {
    const { kernel, clock, reconciler, stateOf } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1']), service('b', '10.0.0.2', [])]));
    const before = kernel.dump();
    await reconciler.sync(input([broken]));
    expect(reconciler.nextRetryMs).toBeUndefined(); // trying the same again would be in vain
    for (let i = 0; i < 3; i += 1) {
      clock.ms += 60_000;
      await reconciler.sync(input([service('b', '10.0.0.2', [`1.1.1.${i}`])]));
      expect(stateOf('a')).toBe('Quarantined');
    }
    await reconciler.sync(input([service('b', '10.0.0.2', [])]));
    expect(kernel.dump()).toEqual(before);
  });

  it('is served as soon as it can be, and gone when it is gone', async () => {
    const { kernel, reconciler, stateOf } = bench();
    await reconciler.sync(input([broken]));
    await reconciler.sync(input([service('a', '10.0.0.1', [])]));
    expect(stateOf('a')).toBe('Done');
    expect(kernel.dump()).toContain('vip 10.0.0.1: to a');
    await reconciler.sync(input([broken]));
    await reconciler.sync(input([], ['ns/a:p/TCP']));
    expect(kernel.dump()).toEqual(['base: za']);
    expect(reconciler.statuses().map(({ owner }) => owner)).toEqual(['base']);
  });

  it('does not hide when others are due', async () => {
    const { kernel, reconciler } = bench();
    refuseTo(kernel, 'b');
    await reconciler.sync(input([broken, service('b', '10.0.0.2', [])]));
    expect(reconciler.nextRetryMs).toBe(1_000);
  });
});

describe('what cannot be put into the kernel’s form', () => {
  /** Fails where a codec would: not as the kernel does. */
  class Unencodable extends FakeKernel {
    readonly #where: 'plan' | 'apply';
    readonly #failure: Error;

    constructor(where: 'plan' | 'apply', failure: Error) {
      super();
      this.#where = where;
      this.#failure = failure;
    }

    #look(changes: readonly Change<FakeObject>[]): void {
      if (changes.some(({ op, object }) => op !== 'remove' && object.content === 'to a')) throw this.#failure;
    }

    override plan(changes: readonly Change<FakeObject>[]) {
      if (this.#where === 'plan') this.#look(changes);
      return super.plan(changes);
    }

    override async apply(batch: Batch<readonly Change<FakeObject>[]>) {
      if (this.#where === 'apply') this.#look(batch.payload);
      return super.apply(batch);
    }
  }

  const sync = async (kernel: FakeKernel) => {
    const reconciler = new Reconciler(kernel, { signal: new AbortController().signal });
    const services = ['a', 'b', 'c'].map((name, i) => service(name, `10.0.0.${i + 1}`, []));
    await reconciler.sync(input(services));
    return ['a', 'b', 'c'].map((name) => reconciler.status(`ns/${name}:p/TCP`));
  };

  it.each(['plan', 'apply'] as const)('is set aside, and the others go on: %s', async (where) => {
    const [a, b, c] = await sync(new Unencodable(where, new TypeError('no address: "x"')));
    expect(a).toMatchObject({ state: 'Quarantined', message: expect.stringContaining('no address: "x"') });
    expect([b?.state, c?.state]).toEqual(['Done', 'Done']);
  });

  it('is told from a host that cannot write at all', async () => {
    await expect(sync(new Unencodable('apply', new Error('spawn EMFILE')))).rejects.toThrow('spawn EMFILE');
  });
});
