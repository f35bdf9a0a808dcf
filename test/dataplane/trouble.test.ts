/** What failed is tried again by the same thing, and nothing of it is lost. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KernelError } from '../../src/dataplane/contract.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { FakeKernel, fake, input, service } from './fake-backend.ts';
import { A, failing, loopBench, PERIOD_MS, synced, working } from './loop-bench.ts';

const engineOver = (kernel: FakeKernel, clock = () => 0) =>
  new Reconciler(kernel, { signal: new AbortController().signal, clock });

describe('audits', () => {
  it('coalesce: a request while one runs means one more afterwards, for all who ask', async () => {
    const kernel = new FakeKernel();
    const engine = engineOver(kernel);
    await engine.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    const before = kernel.reads;
    const running = engine.audit();
    await Promise.resolve();
    await Promise.resolve();
    kernel.objects.set('foreign', fake('foreign', 'x'));
    const drifts = await Promise.all([running, engine.audit(), engine.audit(), engine.audit()]);
    expect(kernel.reads - before).toBe(2);
    expect(drifts.slice(1).every(({ foreign }) => foreign.length <= 1)).toBe(true);
    expect(kernel.objects.has('foreign')).toBe(false);
  });

  it('that lose what was written read the kernel again, and count nothing of that as drift', async () => {
    const kernel = new FakeKernel();
    const engine = engineOver(kernel);
    await engine.sync(input([service('a', '10.0.0.1', ['1.1.1.1'])]));
    kernel.objects.delete('vip 10.0.0.1');
    kernel.disturb = (what) => {
      if (what === 'apply') throw new KernelError('environment', 'was killed');
    };
    await expect(engine.audit()).rejects.toThrow('was killed');
    kernel.disturb = () => undefined;
    expect(await engine.audit()).toEqual({ missing: [], changed: [], foreign: [] });
    expect(kernel.objects.has('vip 10.0.0.1')).toBe(true);
  });
});

describe('an audit that repairs one of many', () => {
  it('takes nothing away though the repair is refused twice', async () => {
    const kernel = new FakeKernel();
    const engine = engineOver(kernel);
    await engine.sync(input(Array.from({ length: 40 }, (_, i) => service(`s${i}`, `10.0.0.${i}`, [`1.1.1.${i}`]))));
    kernel.objects.delete('vip 10.0.0.7');
    kernel.log.length = 0;
    let refusals = 2;
    kernel.disturb = (what) => {
      if (what === 'apply' && refusals-- > 0) throw new KernelError('content', 'Invalid argument');
    };
    await engine.audit();
    expect(kernel.log.flat()).toEqual(['add vip 10.0.0.7']);
    expect(engine.statuses().every(({ state }) => state === 'Done')).toBe(true);
  });
});

describe('trigger times', () => {
  const at = (endpoints: readonly string[], ...triggeredAt: readonly number[]) => ({
    ...service('a', '10.0.0.1', endpoints),
    triggeredAt,
  });

  it('of syncs that failed are told with the one that is done', async () => {
    const kernel = new FakeKernel();
    const engine = engineOver(kernel);
    await engine.sync(input([]));
    failing(kernel);
    await expect(engine.sync(input([at(['1.1.1.1'], 1)]))).rejects.toThrow();
    await expect(engine.sync(input([at(['1.1.1.2'], 2, 3)]))).rejects.toThrow();
    working(kernel);
    expect((await engine.sync(input([]))).triggeredAt).toEqual([1, 2, 3]);
    expect((await engine.sync(input([]))).triggeredAt).toEqual([]);
  });

  it('of an owner that is set aside are told when it is let in', async () => {
    const kernel = new FakeKernel();
    const clock = { ms: 0 };
    const engine = engineOver(kernel, () => clock.ms);
    await engine.sync(input([]));
    kernel.refuses = (content) => content === 'to a';
    const report = await engine.sync(input([at(['1.1.1.1'], 1), service('b', '10.0.0.2', [])]));
    expect([report.triggeredAt, report.services.map(({ port }) => port.name.name)]).toEqual([[], ['b']]);
    kernel.refuses = () => false;
    clock.ms += 60_000;
    expect((await engine.sync(input([]))).triggeredAt).toEqual([1]);
  });
});

describe('a wish that came while its owner was set aside', () => {
  it('counts though the sync that brought it failed: the former one is not tried again', async () => {
    const kernel = new FakeKernel();
    const clock = { ms: 0 };
    const engine = engineOver(kernel, () => clock.ms);
    kernel.refuses = (content) => content === '10.0.0.9';
    await engine.sync(input([service('a', '10.0.0.9', ['1.1.1.1'])]));
    expect(engine.status('ns/a:p/TCP').state).toBe('Quarantined');
    kernel.refuses = () => false;
    failing(kernel, 'apply');
    await expect(engine.sync(input([service('a', '10.0.0.1', [])]))).rejects.toThrow();
    working(kernel);
    clock.ms += 60_000;
    await engine.sync(input([]));
    expect(kernel.dump()).toEqual(['base: za', 'vip 10.0.0.1: to a']);
  });
});

describe('the loop', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('follows a failed audit with another, after a back-off, and not with the next period', async () => {
    const { kernel, pass, drifts } = await synced();
    kernel.objects.delete('vip 10.0.0.1');
    failing(kernel, 'read');
    await pass(PERIOD_MS);
    working(kernel);
    await pass(300);
    expect(drifts).toEqual([{ missing: ['vip 10.0.0.1'], changed: [], foreign: [] }]);
  });

  it('says when work cannot be taken, and tries again', async () => {
    const { kernel, work, loop, log, pass } = loopBench();
    const take = work.take.bind(work);
    let times = 2;
    work.take = async () => {
      times -= 1;
      if (times >= 0) throw new TypeError('cannot read properties of undefined');
      return take();
    };
    work.put(A);
    loop.request();
    await pass(2_000);
    expect(log.filter(({ level }) => level === 'error')).toHaveLength(2);
    expect(kernel.objects.has('vip 10.0.0.1')).toBe(true);
  });
});
