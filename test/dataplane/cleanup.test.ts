import { describe, expect, it } from 'vitest';
import { removeAll } from '../../src/dataplane/cleanup.ts';
import { KernelError } from '../../src/dataplane/contract.ts';
import { FakeKernel, type FakeObject, fake } from './fake-backend.ts';

const filled = (...ids: readonly string[]): FakeKernel => {
  const kernel = new FakeKernel();
  for (const id of ids) kernel.objects.set(id, fake(id, 'x'));
  return kernel;
};

const { signal } = new AbortController();

/** The kernel refuses to remove these. */
const keeping = (kernel: FakeKernel, inUse: readonly string[], names: boolean): FakeKernel => {
  const apply = kernel.apply.bind(kernel);
  kernel.apply = async (batch) => {
    const kept = batch.ids.find((id) => inUse.includes(id));
    if (kept !== undefined) throw new KernelError('content', `${kept} is in use`, names ? [kept] : []);
    return apply(batch);
  };
  return kernel;
};

describe('cleaning up', () => {
  it('removes all that is read back, in the batches of the plan, and says what', async () => {
    const kernel = filled('a', 'b', 'c');
    kernel.maxBatch = 2;
    const { removed, left } = await removeAll(kernel, signal);
    expect(removed.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
    expect(left).toEqual([]);
    expect(kernel.objects.size).toBe(0);
    expect(kernel.log).toEqual([['remove a', 'remove b'], ['remove c']]);
  });

  it('keeps what another made, if only ours is to go', async () => {
    const kernel = Object.assign(filled('a', 'b', 'c'), {
      madeByOther: (found: readonly FakeObject[]) => found.filter(({ id }) => id === 'b'),
    });
    const { removed, left, kept } = await removeAll(kernel, signal, 'ours');
    expect([removed, left, kept].map((objects) => objects.map(({ id }) => id))).toEqual([['a', 'c'], [], ['b']]);
    expect([...kernel.objects.keys()]).toEqual(['b']);
    expect((await removeAll(kernel, signal)).removed.map(({ id }) => id)).toEqual(['b']);
  });

  it('writes nothing where nothing is', async () => {
    const kernel = filled();
    expect(await removeAll(kernel, signal)).toEqual({ removed: [], left: [], kept: [] });
    expect(kernel.log).toEqual([]);
  });

  it('leaves what the kernel says is in use by others, and removes everything else', async () => {
    const kernel = keeping(filled('a', 'b', 'c', 'd'), ['b', 'd'], true);
    const { removed, left } = await removeAll(kernel, signal);
    expect(removed.map(({ id }) => id)).toEqual(['a', 'c']);
    expect(left.map(({ id }) => id)).toEqual(['b', 'd']);
  });

  it('says what the kernel said when it does not say what it refuses', async () => {
    await expect(removeAll(keeping(filled('a', 'b'), ['b'], false), signal)).rejects.toThrow('b is in use');
  });

  it('fails as a whole when the kernel cannot be written', async () => {
    const kernel = filled('a');
    kernel.disturb = (what) => {
      if (what === 'apply') throw new KernelError('environment', 'no permission', ['a']);
    };
    await expect(removeAll(kernel, signal)).rejects.toThrow('no permission');
  });

  it('stops between batches when told to', async () => {
    const kernel = filled('a', 'b', 'c');
    kernel.maxBatch = 1;
    const stop = new AbortController();
    kernel.disturb = (what) => {
      if (what === 'apply') stop.abort(new Error('asked to stop'));
    };
    await expect(removeAll(kernel, stop.signal)).rejects.toThrow('asked to stop');
    expect(kernel.objects.size).toBe(2);
  });
});
