import { describe, expect, it } from 'vitest';
import { KernelError, type Measure } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { listenToWrites } from '../../src/observe/writes.ts';
import { FakeKernel, input, service } from '../dataplane/fake-backend.ts';

const bench = () => {
  const kernel = new FakeKernel();
  const told: string[] = [];
  const backend = listenToWrites(kernel, {
    written: ({ added, replaced, removed }) => told.push(`+${added} ~${replaced} -${removed}`),
    refused: (onlyRemoves) => told.push(onlyRemoves ? 'refused a removal' : 'refused'),
  });
  const reconciler = new Reconciler(backend, { signal: new AbortController().signal });
  const hear = (): readonly string[] => told.splice(0);
  return { kernel, reconciler, hear };
};

describe('listening in on writes', () => {
  it('hears each batch with what it changes', async () => {
    const { kernel, reconciler, hear } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    expect(hear()).toEqual(['+3 ~0 -0']);
    kernel.maxBatch = 1;
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.2'])]));
    expect(hear()).toEqual(['+1 ~0 -0', '+0 ~0 -1']);
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.2'])]));
    expect(hear()).toEqual([]);
  });

  it('hears how much of what is counted was written, removals left out', async () => {
    const kernel = Object.assign(new FakeKernel(), {
      measure: ({ id }: { readonly id: string }) =>
        id.startsWith('endpoint') ? { of: 'nat', count: Number(id.at(-1)) } : undefined,
    });
    const told: Measure[] = [];
    const backend = listenToWrites(kernel, {
      written: (_, measured) => void told.push(...measured),
      refused: () => undefined,
    });
    const reconciler = new Reconciler(backend, { signal: new AbortController().signal });
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.2', '1.1.1.3'])]));
    expect(told.splice(0)).toEqual([2, 3].map((count) => ({ of: 'nat', count })));
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.3', '1.1.1.4'])]));
    expect(told).toEqual([{ of: 'nat', count: 4 }]);
    expect(reconciler.counts).toEqual(new Map([['nat', 7]]));
  });

  it("hears an audit's repairs", async () => {
    const { kernel, reconciler, hear } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    hear();
    kernel.objects.delete('vip 10.0.0.1');
    await reconciler.audit();
    expect(hear()).toEqual(['+1 ~0 -0']);
  });

  it('hears what is refused, each time', async () => {
    const { kernel, reconciler, hear } = bench();
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    hear();
    kernel.refuses = (content) => content === 'to b';
    await reconciler.sync(input([service('b', '10.0.0.2', [])]));
    expect(hear().filter((one) => one === 'refused').length).toBeGreaterThan(1);
    kernel.disturb = (what) => {
      if (what === 'apply') throw new KernelError('environment', 'no');
    };
    await expect(reconciler.sync(input([], ['ns/a:p/TCP']))).rejects.toThrow('no');
    expect(hear()).toContain('refused a removal');
  });

  it('counts an object that takes two batches once', () => {
    const kernel = new FakeKernel();
    const object = { kind: 'fake', id: 'x', content: 'y' } as const;
    kernel.plan = () => [
      { payload: [], ids: ['x'] },
      { payload: [], ids: ['x', 'z'] },
    ];
    const told: number[] = [];
    const backend = listenToWrites(kernel, { written: ({ added }) => told.push(added), refused: () => undefined });
    const signal = new AbortController().signal;
    const batches = [...backend.plan([{ op: 'add', object }])].filter((batch) => batch !== undefined);
    return Promise.all(batches.map((batch) => backend.apply(batch, signal))).then(() => expect(told).toEqual([1, 0]));
  });

  it('leaves all else of the backend as it is', async () => {
    const { kernel } = bench();
    const backend = listenToWrites(kernel, { written: () => undefined, refused: () => undefined });
    expect(backend.mode).toBe('fake');
    expect(backend.watch).toBeUndefined();
    expect(backend.format({ kind: 'fake', id: 'a', content: 'b' })).toBe('a: b');
    await backend.read(new AbortController().signal);
    expect(kernel.reads).toBe(1);
  });
});
