import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { FakeKernel, fake, input, service } from './fake-backend.ts';

const bench = (kernel = new FakeKernel()) => {
  const parts: number[] = [];
  const signal = new AbortController().signal;
  const reconciler = new Reconciler(kernel, { signal, onProgress: (part) => parts.push(part) });
  return { kernel, parts, reconciler };
};

const services = (count: number) =>
  Array.from({ length: count }, (_, i) => service(`s${i}`, `10.0.0.${i}`, ['1.1.1.1']));

describe('the first sync of an empty kernel', () => {
  it('puts the first Service in by itself, then the others in groups of about the backend’s size', async () => {
    const { kernel, reconciler } = bench();
    kernel.groupSize = 6; // three Services of two objects each
    await reconciler.sync(input(services(8)));
    expect(kernel.log.map((batch) => batch.length)).toEqual([1 + 2, 6, 6, 2]);
    expect(kernel.log[0]).toContain('add vip 10.0.0.0');
  });

  it('says how far it is, up to the end', async () => {
    const { kernel, parts, reconciler } = bench();
    kernel.groupSize = 4;
    await reconciler.sync(input(services(8)));
    expect(parts).toEqual([0.125, 0.375, 0.625, 0.875, 1, 1]);
  });

  it('ends where one piece would have ended, whatever the size of groups', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 30 }), fc.integer({ min: 1, max: 70 }), async (count, groupSize) => {
        const { kernel, parts, reconciler } = bench();
        kernel.groupSize = groupSize;
        await reconciler.sync(input(services(count)));
        expect(kernel.objects.size).toBe(1 + 2 * count);
        expect(parts).toEqual([...parts].sort((a, b) => a - b));
        expect(parts.at(-1)).toBe(1);
      }),
      { numRuns: 50 },
    );
  });
});

describe('the first sync over what a predecessor left', () => {
  it('says how far it is, batch by batch', async () => {
    const { kernel, parts, reconciler } = bench();
    kernel.objects.set('old', fake('old', 'x'));
    kernel.maxBatch = 2;
    await reconciler.sync(input(services(1)));
    expect(parts.slice(0, 2)).toEqual([0.5, 1]);
  });

  it('is done at once where nothing has to be written', async () => {
    const { kernel, reconciler } = bench();
    await reconciler.sync(input(services(3)));
    const next = bench(kernel);
    await next.reconciler.sync(input(services(3)));
    expect(next.parts).toEqual([1]);
  });

  it('is the only one that speaks of progress', async () => {
    const { parts, reconciler } = bench();
    await reconciler.sync(input([]));
    parts.length = 0;
    await reconciler.sync(input(services(3)));
    expect(parts).toEqual([]);
  });
});
