/** A loop over a kernel in memory, with its work, its clock and its log in the test's hands. */
import { expect, vi } from 'vitest';
import { KernelError } from '../../src/dataplane/contract.ts';
import { Loop } from '../../src/dataplane/loop.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import type { Drift, SyncReport } from '../../src/dataplane/status.ts';
import type { Work } from '../../src/model/family-work.ts';
import { ownerOf } from '../../src/model/service.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import { FakeKernel, type FakeObject, input, service } from './fake-backend.ts';

export const MIN_MS = 100;
export const PERIOD_MS = 30_000;

/** Work as the model hands it over: what changed since it was last taken. */
export class FakeWork {
  waiting: string | undefined;
  taken = 0;
  #isNew = true;
  /** Owner → what it is now; undefined when it is gone. */
  readonly #dirty = new Map<string, ServiceEndpoints | undefined>();

  put(...services: readonly ServiceEndpoints[]): void {
    for (const service of services) this.#dirty.set(ownerOf(service.port.name), service);
  }

  remove(owner: string): void {
    this.#dirty.set(owner, undefined);
  }

  waitingFor(): string | undefined {
    return this.waiting;
  }

  hasWork(): boolean {
    return this.#isNew || this.#dirty.size > 0;
  }

  async take(): Promise<Work> {
    this.taken += 1;
    const services = [...this.#dirty.values()].flatMap((service) => service ?? []);
    const gone = [...this.#dirty].flatMap(([owner, service]) => (service === undefined ? [owner] : []));
    this.#isNew = false;
    this.#dirty.clear();
    return input(services, gone);
  }
}

interface Line {
  readonly level: string;
  readonly fields: unknown;
  readonly message: string;
}

export interface LoopBench {
  readonly kernel: FakeKernel;
  readonly work: FakeWork;
  readonly loop: Loop<FakeObject, unknown>;
  readonly log: readonly Line[];
  readonly reports: readonly SyncReport[];
  readonly drifts: readonly Drift[];
  readonly failures: readonly string[];
  /** Milliseconds since the bench began, at each read of the kernel. */
  readonly readAt: readonly number[];
  readonly pass: (ms: number) => Promise<void>;
}

/** Needs vitest's fake timers. */
export const loopBench = (kernel = new FakeKernel()): LoopBench => {
  const zero = performance.now();
  const lines: Line[] = [];
  const reports: SyncReport[] = [];
  const drifts: Drift[] = [];
  const failures: string[] = [];
  const readAt: number[] = [];
  const read = kernel.read.bind(kernel);
  kernel.read = () => {
    readAt.push(Math.round(performance.now() - zero));
    return read();
  };
  const say =
    (level: string) =>
    (fields: unknown, message?: string): void => {
      lines.push({ level, fields, message: message ?? '' });
    };
  const work = new FakeWork();
  const reconciler = new Reconciler(kernel, { signal: new AbortController().signal, lastRetryMs: PERIOD_MS });
  const loop = new Loop(work, reconciler, {
    name: 'IPv4',
    minIntervalMs: MIN_MS,
    syncPeriodMs: PERIOD_MS,
    log: { info: say('info'), warn: say('warn'), error: say('error'), debug: say('debug') },
    onSync: (report) => void reports.push(report),
    onDrift: (drift) => drifts.push(drift),
    onFailure: (message) => failures.push(message),
  });
  const pass = async (ms: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(ms);
  };
  return { kernel, work, loop, log: lines, reports, drifts, failures, readAt, pass };
};

export const A = service('a', '10.0.0.1', ['1.1.1.1']);
export const B = service('b', '10.0.0.2', []);

/** Reads, writes or both fail for a reason of the host's. */
export const failing = (kernel: FakeKernel, what?: 'read' | 'apply'): void => {
  kernel.disturb = (now) => {
    if (what === undefined || now === what) throw new KernelError('environment', 'somebody holds the lock');
  };
};

export const working = (kernel: FakeKernel): void => {
  kernel.disturb = () => undefined;
};

/** A bench that has synced A and B. */
export const synced = async (): Promise<LoopBench> => {
  const bench = loopBench();
  bench.work.put(A, B);
  bench.loop.request();
  await bench.pass(0);
  expect(bench.kernel.objects.size).toBe(4);
  return bench;
};
