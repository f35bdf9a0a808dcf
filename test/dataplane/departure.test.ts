/** Leaving a mode through which connections run: how often one pauses, what is said, and when it is over. */
import { describe, expect, it } from 'vitest';
import { type Change, type Departing, KernelError } from '../../src/dataplane/contract.ts';
import { depart } from '../../src/dataplane/departure.ts';
import { FakeKernel, type FakeObject, fake } from './fake-backend.ts';

/** Of what it holds `used` is somebody's, until he ends. */
class Leaving extends FakeKernel implements Departing<FakeObject, readonly Change<FakeObject>[]> {
  awaited = 0;
  used = new Set<string>();
  shields = 0;

  constructor(...ids: readonly string[]) {
    super();
    for (const id of ids) this.objects.set(id, fake(id, 'x'));
  }

  override async read(): Promise<ReadonlyMap<string, FakeObject>> {
    const all = await super.read();
    this.awaited = this.used.size;
    return new Map([...all].filter(([id]) => !this.used.has(id)));
  }

  async shield(): Promise<void> {
    this.shields += 1;
  }
}

const scene = () => {
  const stop = new AbortController();
  const said: string[] = [];
  const tell =
    (level: string) =>
    (fields: object, message: string): void => {
      said.push(`${level} ${message} ${JSON.stringify(fields)}`);
    };
  const log = { info: tell('info'), warn: tell('warn') } as never;
  return { stop, said, options: { signal: stop.signal, log, pauses: { firstMs: 1, laterMs: 2 } } };
};

describe('leaving', () => {
  it('is over at once where nobody is connected, and says so', async () => {
    const { said, options } = scene();
    const kernels = [new Leaving('a', 'b'), new Leaving('c')];
    const removed = await depart(new Map(kernels.entries()) as never, options);
    expect([...removed.values()]).toEqual([2, 1]);
    expect(kernels.map(({ objects }) => objects.size)).toEqual([0, 0]);
    expect(said).toEqual(['info nothing is left of another mode {"mode":"fake","removed":3}']);
  });

  it('says nothing where there is nothing', async () => {
    const { said, options } = scene();
    await depart(new Map([[0, new Leaving()]]) as never, options);
    expect(said).toEqual([]);
  });

  it('waits for connections, says so once, and shields the node meanwhile', async () => {
    const { said, options } = scene();
    const kernel = new Leaving('a', 'b', 'c');
    kernel.used = new Set(['a', 'b']);
    const ending = [() => kernel.used.delete('a'), () => kernel.used.delete('b')];
    kernel.shield = async () => {
      kernel.shields += 1;
      ending.shift()?.();
    };
    await depart(new Map([[0, kernel]]) as never, options);
    expect(kernel.log).toEqual([['remove c'], ['remove a'], ['remove b']]);
    expect(kernel.shields).toBe(2);
    expect(said).toEqual([
      'info what another mode left goes as its connections end {"mode":"fake","connections":2}',
      'info nothing is left of another mode {"mode":"fake","removed":3}',
    ]);
  });

  it('is tried again when nothing can be written just now, and says each reason once', async () => {
    const { said, options } = scene();
    const kernel = new Leaving('a');
    let failures = 0;
    kernel.disturb = () => {
      failures += 1;
      if (failures < 4) throw new KernelError('environment', 'somebody holds the lock');
    };
    await depart(new Map([[0, kernel]]) as never, options);
    expect(kernel.objects.size).toBe(0);
    expect(said).toEqual([
      'warn what another mode left cannot be removed yet {"mode":"fake","error":"somebody holds the lock"}',
      'info nothing is left of another mode {"mode":"fake","removed":1}',
    ]);
  });

  it('ends, and says so, where others need what is left', async () => {
    const { said, options } = scene();
    const kernel = new Leaving('a', 'b');
    const apply = kernel.apply.bind(kernel);
    kernel.apply = async (batch) => {
      if (batch.ids.includes('b')) throw new KernelError('content', 'b is in use', ['b']);
      return apply(batch);
    };
    await depart(new Map([[0, kernel]]) as never, options);
    expect([...kernel.objects.keys()]).toEqual(['b']);
    expect(said).toEqual(['warn what another mode left cannot be removed {"mode":"fake","left":1}']);
  });

  it('ends when told to, and leaves everything where it is', async () => {
    const { stop, said, options } = scene();
    const kernel = new Leaving('a');
    kernel.used = new Set(['a']);
    const departure = depart(new Map([[0, kernel]]) as never, {
      ...options,
      pauses: { firstMs: 60_000, laterMs: 60_000 },
    });
    setTimeout(() => stop.abort(), 5);
    await departure;
    expect(kernel.objects.size).toBe(1);
    expect(said).toHaveLength(1);
  });
});
