import { describe, expect, it } from 'vitest';
import { KernelError } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { KernelState } from '../../src/dataplane/state.ts';
import { Writer } from '../../src/dataplane/writer.ts';
import { FakeKernel, type FakeObject, fake, input, service } from './fake-backend.ts';

const bench = (signal = new AbortController().signal) => {
  const kernel = new FakeKernel();
  const state = new KernelState<FakeObject>(undefined);
  const writer = new Writer(kernel, state, signal);
  const want = (...ids: readonly string[]): void =>
    state.stage('owner', { owner: 'owner', since: 1, objects: ids.map((id) => fake(id, 'x')) });
  return { kernel, state, writer, want };
};

/** A promise, and the way to fulfil it. */
const gate = (): { readonly closed: Promise<void>; readonly open: () => void } => {
  let open = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { closed, open };
};

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the writer', () => {
  it('writes additions before removals, and counts both', async () => {
    const { kernel, writer, want } = bench();
    want('a', 'b');
    await writer.write();
    want('b', 'c');
    expect(await writer.write()).toEqual({ changes: { added: 1, replaced: 0, removed: 1 }, batches: 1 });
    expect(kernel.log).toEqual([
      ['add a', 'add b'],
      ['add c', 'remove a'],
    ]);
  });

  it('makes no batch of nothing', async () => {
    const { kernel, writer, want } = bench();
    want('a');
    await writer.write();
    want('a');
    expect(await writer.write()).toMatchObject({ batches: 0 });
    expect(kernel.log).toHaveLength(1);
  });

  it('tells how many of how many batches are done', async () => {
    const { kernel, writer, want } = bench();
    kernel.maxBatch = 1;
    want('a', 'b', 'c');
    const told: string[] = [];
    await writer.write((done, total) => told.push(`${done}/${total}`));
    expect(told).toEqual(['1/3', '2/3', '3/3']);
  });

  it('gives a refusal with the ids of its batch, and keeps what went before', async () => {
    const { kernel, state, writer, want } = bench();
    kernel.maxBatch = 2;
    kernel.names = true;
    want('a', 'b', 'c', 'd', 'e');
    state.stage('other', { owner: 'other', since: 1, objects: [fake('d', 'bad')] });
    state.stage('owner', { owner: 'owner', since: 2, objects: ['a', 'b', 'c', 'd', 'e'].map((id) => fake(id, 'x')) });
    kernel.refuses = (content) => content === 'bad';
    const result = await writer.write();
    expect(result).toMatchObject({ ids: ['c', 'd'], error: { suspects: ['d'] } });
    expect([...state.have.keys()]).toEqual(['a', 'b']);
    kernel.refuses = () => false;
    await writer.write();
    expect([...kernel.objects.keys()].sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(kernel.log.flat()).toHaveLength(5);
  });

  it('reads the kernel before it writes again: what got through is not written twice', async () => {
    const { kernel, writer, want } = bench();
    want('a', 'b');
    const apply = kernel.apply.bind(kernel);
    let isFirst = true;
    kernel.apply = async (batch) => {
      await apply(batch);
      if (isFirst) {
        isFirst = false;
        throw new KernelError('content', 'written, but no answer');
      }
    };
    expect(await writer.write()).toMatchObject({ ids: ['a', 'b'] });
    await writer.readBackAfterRefusal();
    expect(await writer.writeAgain()).toMatchObject({ batches: 0 });
    expect(kernel.log).toHaveLength(1);
  });

  it('leaves what cannot be removed where it is, and has written all else', async () => {
    const { kernel, state, writer, want } = bench();
    kernel.objects.set('old', fake('old', 'x'));
    want('a');
    const apply = kernel.apply.bind(kernel);
    kernel.apply = async (batch) => {
      if (batch.payload.some(({ op }) => op === 'remove')) throw new KernelError('content', 'in use');
      return apply(batch);
    };
    await writer.readBackAfterRefusal();
    expect(await writer.writeAgain()).toEqual({ changes: { added: 1, replaced: 0, removed: 0 }, batches: 1 });
    expect([...kernel.objects.keys()].sort()).toEqual(['a', 'old']);
    expect(await state.changes()).toEqual([]);
  });

  it('throws what is about the host and not about what was written', async () => {
    const { kernel, writer, want } = bench();
    kernel.disturb = () => {
      throw new KernelError('environment', 'no permission');
    };
    want('a');
    await expect(writer.write()).rejects.toThrow('no permission');
    await expect(writer.writeAgain()).rejects.toThrow('no permission');
  });

  it('writes nothing more once it is told to stop', async () => {
    const stop = new AbortController();
    const { kernel, writer, want } = bench(stop.signal);
    want('a');
    stop.abort(new Error('asked to stop'));
    await expect(writer.write()).rejects.toThrow('asked to stop');
    expect(kernel.log).toEqual([]);
  });

  it('lets one in at a time, in order, and the next after a failure', async () => {
    const { writer } = bench();
    const said: string[] = [];
    const { closed, open } = gate();
    const first = writer.exclusive(async () => {
      await closed;
      said.push('first');
      throw new Error('fails');
    });
    const second = writer.exclusive(async () => said.push('second'));
    await soon();
    expect(said).toEqual([]);
    open();
    await expect(first).rejects.toThrow('fails');
    await second;
    expect(said).toEqual(['first', 'second']);
  });
});

describe('a read beside writes', () => {
  it('is no drift where a write was under way when it began, went on during it, and ended after it', async () => {
    const kernel = new FakeKernel();
    kernel.maxBatch = 1;
    const reconciler = new Reconciler(kernel, { signal: new AbortController().signal });
    await reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.1']), service('b', '10.0.0.2', ['1.1.1.1'])]));
    const read = gate();
    const written = gate();
    const readNow = kernel.read.bind(kernel);
    kernel.read = async () => {
      const found = await readNow();
      await read.closed;
      return found;
    };
    const audit = reconciler.audit();
    await soon(); // the kernel is read now
    kernel.gate = written.closed;
    const sync = reconciler.sync(input([service('a', '10.0.0.1', ['1.1.1.2']), service('b', '10.0.0.2', ['1.1.1.3'])]));
    await soon();
    read.open();
    await soon(); // what was read is there while the sync still writes
    written.open();
    await sync;
    kernel.log.length = 0;
    expect(await audit).toEqual({ missing: [], changed: [], foreign: [] });
    expect(kernel.log).toEqual([]);
  });

  it('is the only one', async () => {
    const { kernel, writer, want } = bench();
    const { closed, open } = gate();
    const readNow = kernel.read.bind(kernel);
    let isFirst = true;
    kernel.read = async () => {
      const found = await readNow();
      const wait = isFirst;
      isFirst = false;
      if (wait) await closed;
      return found;
    };
    const slow = writer.readUnlocked(async (_, touched) => [...touched]);
    await soon();
    await expect(writer.readUnlocked(async () => undefined)).rejects.toThrow('being read already');
    want('a');
    await writer.exclusive(() => writer.write());
    open();
    expect(await slow).toEqual(['a']);
  });
});
