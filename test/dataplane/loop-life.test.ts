/** What the loop does besides syncing: audits, its end, and all of it together. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { FakeKernel, fake, input, service } from './fake-backend.ts';
import { failing, loopBench, PERIOD_MS, synced, working } from './loop-bench.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('an audit', () => {
  it('comes once a period, repairs, and names the first few objects', async () => {
    const { kernel, pass, log, drifts } = await synced();
    const before = kernel.dump();
    for (let i = 0; i < 10; i += 1) kernel.objects.set(`foreign ${i}`, fake(`foreign ${i}`, 'x'));
    kernel.objects.delete('vip 10.0.0.1');
    await pass(PERIOD_MS - 1);
    expect(drifts).toEqual([]);
    await pass(1);
    expect(kernel.dump()).toEqual(before);
    expect(drifts).toHaveLength(1);
    expect(log.at(-1)).toEqual({
      level: 'warn',
      message: 'drift found and repaired',
      fields: {
        ipFamily: 'IPv4',
        missing: 1,
        changed: 0,
        foreign: 10,
        sinceStart: 11,
        objects: ['vip 10.0.0.1', 'foreign 0', 'foreign 1', 'foreign 2', 'foreign 3'],
      },
    });
  });

  it('is silent when all is well, and comes again and again', async () => {
    const { pass, log, readAt } = await synced();
    const lines = log.length;
    await pass(3 * PERIOD_MS);
    expect(readAt).toEqual([0, PERIOD_MS, 2 * PERIOD_MS, 3 * PERIOD_MS]);
    expect(log).toHaveLength(lines);
  });

  it('unasked takes no more than a tenth of the time, as a change may have to wait for its end', async () => {
    const kernel = new FakeKernel();
    const read = kernel.read.bind(kernel);
    kernel.read = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20_000));
      return read();
    };
    const { loop, pass, readAt } = loopBench(kernel);
    loop.request();
    await pass(PERIOD_MS + 9 * 20_000 + 20_000 - 1);
    expect(readAt).toEqual([0, PERIOD_MS]);
    await pass(1);
    expect(readAt).toEqual([0, PERIOD_MS, PERIOD_MS + 20_000 + 9 * 20_000]);
  });

  it('that fails says so, is made good by a sync, and does not end the audits', async () => {
    const { kernel, pass, log, readAt } = await synced();
    kernel.objects.delete('vip 10.0.0.1');
    failing(kernel);
    await pass(PERIOD_MS);
    expect(log.map(({ message }) => message)).toContain('audit failed, rules stay as they are');
    working(kernel);
    await pass(1_000);
    kernel.objects.delete('vip 10.0.0.2');
    const reads = readAt.length;
    await pass(PERIOD_MS);
    expect(readAt.length).toBeGreaterThan(reads);
    expect(kernel.objects.size).toBe(4);
  });
});

describe('stopping', () => {
  it('waits for the write under way and leaves what is in the kernel', async () => {
    const { kernel, work, loop, pass } = await synced();
    let open = (): void => undefined;
    kernel.gate = new Promise((resolve) => {
      open = resolve;
    });
    work.put(service('c', '10.0.0.3', []));
    loop.request();
    await pass(1_000);
    let stopped = false;
    void loop.stop().then(() => {
      stopped = true;
    });
    await pass(1_000);
    expect(stopped).toBe(false);
    open();
    await pass(0);
    expect(stopped).toBe(true);
    expect(kernel.objects.has('vip 10.0.0.3')).toBe(true);
    kernel.log.length = 0;
    work.put(service('d', '10.0.0.4', []));
    loop.request();
    await pass(3 * PERIOD_MS);
    expect(kernel.log).toEqual([]);
  });

  it('does not call it a failure that it was stopped', async () => {
    const { kernel, work, loop, pass, failures, log } = await synced();
    let open = (): void => undefined;
    kernel.gate = new Promise((resolve) => {
      open = resolve;
    });
    failing(kernel, 'apply');
    work.put(service('c', '10.0.0.3', []));
    loop.request();
    await pass(1_000);
    const stopped = loop.stop();
    open();
    await pass(0);
    await stopped;
    expect(failures).toEqual([]);
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('whatever happens in between', () => {
  const event = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    ip: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3'),
    endpoints: fc.subarray(['1.1.1.1', '1.1.1.2']),
    gone: fc.boolean(),
    fails: fc.constantFrom(undefined, undefined, 'read', 'apply'),
    vandal: fc.constantFrom(undefined, undefined, 'vip 10.0.0.1', 'base'),
    wait: fc.constantFrom(0, 1, 150, 5_000, PERIOD_MS),
  });

  it('the kernel ends as a fresh start would leave it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 20 }), async (events) => {
        const { kernel, work, loop, pass } = loopBench();
        const last = new Map<string, ReturnType<typeof service>>();
        for (const { name, ip, endpoints, gone, fails, vandal, wait } of events) {
          const wanted = service(name, ip, endpoints, name.charCodeAt(0));
          if (gone && last.delete(name)) work.remove(`ns/${name}:p/TCP`);
          else {
            last.set(name, wanted);
            work.put(wanted);
          }
          if (fails === undefined) working(kernel);
          else failing(kernel, fails as 'read' | 'apply');
          if (vandal !== undefined) kernel.objects.delete(vandal);
          loop.request();
          await pass(wait);
        }
        working(kernel);
        loop.request();
        await pass(3 * PERIOD_MS);
        await loop.stop();
        const fresh = new FakeKernel();
        await new Reconciler(fresh, { signal: new AbortController().signal }).sync(input([...last.values()]));
        expect(kernel.dump()).toEqual(fresh.dump());
      }),
      { numRuns: 100 },
    );
  });
});
