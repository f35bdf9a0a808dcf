/** What the loop tells those who look on. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Failure, Loop } from '../../src/dataplane/loop.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { FakeKernel } from './fake-backend.ts';
import { A, B, FakeWork, failing, MIN_MS, PERIOD_MS, working } from './loop-bench.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const bench = () => {
  const kernel = new FakeKernel();
  const work = new FakeWork();
  const failures: Failure[] = [];
  const told = { queued: 0 };
  const mute = (): void => undefined;
  const loop = new Loop(work, new Reconciler(kernel, { signal: new AbortController().signal }), {
    name: 'IPv4',
    minIntervalMs: MIN_MS,
    syncPeriodMs: PERIOD_MS,
    log: { info: mute, warn: mute, error: mute, debug: mute },
    onQueued: () => {
      told.queued += 1;
    },
    onFailure: (_, failure) => failures.push(failure),
  });
  return { kernel, work, loop, failures, told };
};

it('a change is told as it queues, and not before anything may be written', async () => {
  const { work, loop, told } = bench();
  work.waiting = 'the Node';
  work.put(A);
  loop.request();
  expect(told.queued).toBe(0);
  work.waiting = undefined;
  loop.request();
  expect(told.queued).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  loop.request(); // nothing to do
  expect(told.queued).toBe(1);
});

it('a failure is told with what it was and how long it took', async () => {
  const { kernel, work, loop, failures } = bench();
  work.put(A);
  failing(kernel, 'read');
  loop.request();
  await vi.advanceTimersByTimeAsync(0);
  expect(failures.splice(0)).toEqual([
    { what: 'sync', message: 'somebody holds the lock', full: true, durationMs: expect.any(Number) },
  ]);
  working(kernel);
  await vi.advanceTimersByTimeAsync(1_000);
  failing(kernel, 'apply');
  kernel.gate = new Promise((resolve) => setTimeout(resolve, 50));
  work.put(B);
  loop.request();
  await vi.advanceTimersByTimeAsync(100);
  expect(failures[0]).toMatchObject({ what: 'sync', full: false, durationMs: 50 });
  await vi.advanceTimersByTimeAsync(200); // the next try reads first
  expect(failures[1]).toMatchObject({ what: 'sync', full: true });
  working(kernel);
  await vi.advanceTimersByTimeAsync(10_000);
  failures.length = 0;
  failing(kernel, 'read');
  await loop.audit();
  expect(failures[0]).toMatchObject({ what: 'audit', message: 'somebody holds the lock' });
});

it('what others write is listened for as soon as the first sync is written, however long the rest takes', async () => {
  const work = new FakeWork();
  const mute = (): void => undefined;
  let isHeard = false;
  const loop = new Loop(work, new Reconciler(new FakeKernel(), { signal: new AbortController().signal }), {
    name: 'IPv4',
    minIntervalMs: MIN_MS,
    syncPeriodMs: PERIOD_MS,
    log: { info: mute, warn: mute, error: mute, debug: mute },
    onSync: () => new Promise((resolve) => setTimeout(resolve, 5_000)),
    watch: () => {
      isHeard = true;
      return { stop: mute };
    },
  });
  work.put(A);
  loop.request();
  await vi.advanceTimersByTimeAsync(500);
  expect(isHeard).toBe(true);
});
