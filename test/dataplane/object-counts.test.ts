/** What metrics count of a kernel's objects: always what counting all of them anew would give. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ObjectCounts } from '../../src/dataplane/object-counts.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { FakeKernel, type FakeObject, fake, input, service } from './fake-backend.ts';

const measure = ({ id, content }: FakeObject) =>
  id.startsWith('endpoint') ? { of: content.endsWith('1') ? 'odd' : 'even', count: id.length } : undefined;

const counted = (objects: Iterable<FakeObject>): ReadonlyMap<string, number> => {
  const tally = new ObjectCounts(measure);
  for (const object of objects) tally.change(undefined, object);
  return new Map([...tally.counts].filter(([, count]) => count !== 0));
};

const bench = () => {
  const kernel = Object.assign(new FakeKernel(), { measure });
  const reconciler = new Reconciler(kernel, { signal: new AbortController().signal });
  const counts = () => new Map([...reconciler.counts].filter(([, count]) => count !== 0));
  return { kernel, reconciler, counts };
};

describe('a tally', () => {
  it('follows what comes, changes and goes', () => {
    const tally = new ObjectCounts(measure);
    const [a, b] = [fake('endpoint a', '1'), fake('endpoint bb', '2')];
    tally.change(undefined, a);
    tally.change(undefined, fake('vip', '1'));
    tally.change(a, b);
    expect(tally.counts).toEqual(
      new Map([
        ['odd', 0],
        ['even', 11],
      ]),
    );
    tally.change(b, undefined);
    tally.change(undefined, undefined);
    expect(tally.counts).toEqual(
      new Map([
        ['odd', 0],
        ['even', 0],
      ]),
    );
  });

  it('of nothing is empty', () => {
    const tally = new ObjectCounts<FakeObject>(undefined);
    tally.change(undefined, fake('endpoint a', '1'));
    expect(tally.counts.size).toBe(0);
  });

  const ips = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 4 });
  const step = fc.oneof(
    fc.record({ put: fc.constantFrom('a', 'b', 'c'), ips, vip: fc.constantFrom('10.0.0.1', '10.0.0.2') }),
    fc.record({ gone: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ lost: fc.nat() }),
    fc.record({ foreign: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ refused: fc.constantFrom('10.0.0.1', 'to b') }),
  );

  it('is what is in the kernel, whatever happened to it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const { kernel, reconciler, counts } = bench();
        await reconciler.sync(input([]));
        for (const one of steps) {
          kernel.refuses = (content) => 'refused' in one && content === one.refused;
          if ('put' in one) {
            await reconciler.sync(
              input([
                service(
                  one.put,
                  one.vip,
                  one.ips.map((n) => `1.1.1.${n}`),
                ),
              ]),
            );
          } else if ('gone' in one) {
            await reconciler.sync(input([], [`ns/${one.gone}:p/TCP`]));
          } else if ('lost' in one) {
            kernel.objects.delete([...kernel.objects.keys()][one.lost % Math.max(1, kernel.objects.size)] ?? '');
            await reconciler.audit();
          } else if ('foreign' in one) {
            kernel.objects.set(`endpoint x${one.foreign}`, fake(`endpoint x${one.foreign}`, '1'));
            await reconciler.audit();
          } else {
            await reconciler.sync(input([service('b', '10.0.0.1', ['1.1.1.1'])]));
          }
          await reconciler.audit();
          expect(counts()).toEqual(counted(kernel.objects.values()));
        }
      }),
      { numRuns: 60 },
    );
  });
});
