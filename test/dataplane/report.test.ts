import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Arranger, Change } from '../../src/dataplane/contract.ts';
import { compileAll } from '../../src/dataplane/report.ts';
import { FakeKernel, type FakeObject, fake, input, service } from './fake-backend.ts';

const SERVICES = [
  service('b', '10.0.0.2', ['1.1.1.2', '1.1.1.1'], 2),
  service('a', '10.0.0.1', ['1.1.1.1'], 3),
  service('young', '10.0.0.1', [], 4),
  service('broken', 'throws', []),
];

describe('desired state without a kernel', () => {
  it('stands by owner, the base first, and says who is left out', () => {
    const { sections, problems } = compileAll(new FakeKernel(), input(SERVICES));
    expect(sections.map(({ title, objects }) => [title, objects.map(({ id }) => id)])).toEqual([
      ['base', ['base']],
      ['ns/a:p/TCP', ['endpoint a 1.1.1.1', 'vip 10.0.0.1']],
      ['ns/b:p/TCP', ['endpoint b 1.1.1.1', 'endpoint b 1.1.1.2', 'vip 10.0.0.2']],
    ]);
    expect(problems).toEqual([{ owner: 'ns/broken:p/TCP', message: 'no rule for this' }]);
  });

  it('does not depend on the order of Services', () => {
    const { sections } = compileAll(new FakeKernel(), input(SERVICES));
    fc.assert(
      fc.property(fc.shuffledSubarray(SERVICES, { minLength: SERVICES.length }), (shuffled) => {
        expect(compileAll(new FakeKernel(), input(shuffled)).sections).toEqual(sections);
      }),
    );
  });

  it('puts what a backend arranges out of many owners at the end', () => {
    const shared = fake('tree', 'of all');
    class Grouping extends FakeKernel {
      arranger(): Arranger<FakeObject> {
        return {
          arrange: (changes): readonly Change<FakeObject>[] => [
            ...changes.filter(({ object }) => !object.id.startsWith('vip')),
            { op: 'add', object: shared },
          ],
          sources: () => [],
          mixes: true,
          standing: () => ({ count: () => undefined, merge: () => undefined }),
        };
      }
    }
    const { sections } = compileAll(new Grouping(), input(SERVICES));
    expect(sections.at(-1)).toEqual({ title: 'dispatch', objects: [shared] });
  });
});
