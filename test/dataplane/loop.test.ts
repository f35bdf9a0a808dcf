import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fake, service } from './fake-backend.ts';
import { A, B, failing, loopBench, PERIOD_MS, synced, working } from './loop-bench.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the loop', () => {
  it('neither reads nor writes before everything awaited is there', async () => {
    const { kernel, work, loop, pass, readAt } = loopBench();
    kernel.objects.set('vip 10.0.0.9', fake('vip 10.0.0.9', 'of a predecessor'));
    work.waiting = 'the first list of EndpointSlice';
    work.put(A);
    loop.request();
    await pass(3 * PERIOD_MS);
    expect(work.taken).toBe(0);
    expect(readAt).toEqual([]);
    expect(kernel.log).toEqual([]);
    work.waiting = undefined;
    loop.request();
    await pass(0);
    expect(kernel.dump()).toEqual(['base: za', 'endpoint a 1.1.1.1: 10.0.0.1', 'vip 10.0.0.1: to a']);
  });

  it('waits again when something is awaited again before it comes to run', async () => {
    const { kernel, work, loop, pass } = loopBench();
    work.put(A);
    loop.request();
    work.waiting = 'the Node';
    await pass(1_000);
    expect(kernel.log).toEqual([]);
  });

  it('says what it did: the first time to everybody, then to those who look closely', async () => {
    const { work, loop, pass, log, reports } = loopBench();
    work.put(A);
    loop.request();
    await pass(0);
    expect(log).toEqual([
      {
        level: 'info',
        message: 'synced',
        fields: {
          ipFamily: 'IPv4',
          fullSync: true,
          servicePorts: 1,
          added: 3,
          replaced: 0,
          removed: 0,
          elapsed: expect.stringMatching(/^[\d.]+ms$/),
        },
      },
    ]);
    work.put(service('a', '10.0.0.1', ['1.1.1.2']));
    loop.request();
    await pass(1_000);
    expect(log[1]).toMatchObject({ level: 'debug', fields: { fullSync: false, added: 1, removed: 1 } });
    expect(reports.map(({ full }) => full)).toEqual([true, false]);
  });

  it('does nothing on a request without work', async () => {
    const { kernel, loop, pass, readAt } = await synced();
    kernel.log.length = 0;
    loop.request();
    await pass(PERIOD_MS - 1);
    expect(kernel.log).toEqual([]);
    expect(readAt).toEqual([0]);
  });
});

describe('a failing sync', () => {
  it('is tried again with a growing back-off, at most a sync period long', async () => {
    const { kernel, work, loop, pass, readAt, failures } = loopBench();
    failing(kernel, 'read');
    work.put(A);
    loop.request();
    await pass(200 + 400 + 800 + 1_600);
    expect(readAt).toEqual([0, 200, 600, 1_400, 3_000]);
    await pass(20 * PERIOD_MS);
    const waits = readAt.map((at, i) => at - (readAt[i - 1] ?? 0));
    expect(Math.max(...waits)).toBe(PERIOD_MS);
    expect(waits.slice(-5)).toEqual(Array.from({ length: 5 }, () => PERIOD_MS));
    expect(failures).toHaveLength(readAt.length);
  });

  it('loses nothing, says why, and starts with a short back-off the next time', async () => {
    const { kernel, work, loop, pass, readAt, log } = loopBench();
    failing(kernel, 'apply');
    work.put(A, B);
    loop.request();
    await pass(10_000);
    expect(log[0]).toEqual({
      level: 'error',
      message: 'sync failed, rules stay as they are',
      fields: { ipFamily: 'IPv4', error: 'somebody holds the lock' },
    });
    working(kernel);
    await pass(PERIOD_MS);
    expect(kernel.objects.size).toBe(4);
    expect(work.taken).toBe(1);
    failing(kernel);
    work.put(service('a', '10.0.0.1', []));
    loop.request();
    const before = readAt.length;
    await pass(199);
    working(kernel);
    await pass(1);
    expect(readAt.length).toBe(before + 1);
    expect(kernel.objects.has('endpoint a 1.1.1.1')).toBe(false);
  });

  it('does not wait for its back-off when there is news', async () => {
    const { kernel, work, loop, pass } = loopBench();
    failing(kernel);
    work.put(A);
    loop.request();
    await pass(13_000); // the next try is seconds away
    working(kernel);
    work.put(B);
    loop.request();
    await pass(0);
    expect(kernel.objects.size).toBe(4);
  });

  it('tries those whom the kernel refused again without being asked', async () => {
    const { kernel, work, loop, pass } = loopBench();
    kernel.refuses = (content) => content === 'to b';
    work.put(A, B);
    loop.request();
    await pass(100);
    expect(kernel.objects.has('vip 10.0.0.2')).toBe(false);
    kernel.refuses = () => false;
    await pass(1_000);
    expect(kernel.objects.has('vip 10.0.0.2')).toBe(true);
  });
});
