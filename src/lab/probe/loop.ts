/**
 * Event loop probe, preloaded with `--import`: measures the turns of the event loop and reports them over a unix
 * socket.
 *
 * A timer that is due every few milliseconds notes its delay: the time between two calls is at least one turn.
 * schedstat gives the part in which the thread ran, and that in which it waited for a processor.
 */
import { openSync, readSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { createServer } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import type { Gap, LoopReport, Pause } from './report.ts';

const TICK_MS = 5;
/** Least gap that is noted; shorter ones are normal. */
const NOTED_MS = 15;

/** Path of the unix socket for reports. */
const path = process.env.LAB_LOOP_PROBE;
/** Folder of profiler samples, one file for each report; undefined = no profiler. */
const profiles = process.env.LAB_LOOP_PROFILES;

/** Times of this thread since its start, milliseconds. */
interface Times {
  /** Time on a processor. */
  readonly ran: number;
  /** Time runnable without a processor. */
  readonly waited: number;
}

const openTimes = (): (() => Times) => {
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  const buffer = Buffer.alloc(128);
  return () => {
    const [ran, waited] = buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0)).split(' ');
    return { ran: Number(ran) / 1e6, waited: Number(waited) / 1e6 };
  };
};

class Probe {
  readonly #times = openTimes();
  #gaps: Gap[] = [];
  #pauses: Pause[] = [];
  #since = performance.now();
  #at = performance.now();
  #before = this.#times();
  #profiler: Session | undefined;
  #reports = 0;

  start(): void {
    setInterval(() => this.#tick(), TICK_MS).unref();
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { startTime, duration, detail } = entry as unknown as {
          readonly startTime: number;
          readonly duration: number;
          readonly detail: { readonly kind: number };
        };
        if (duration > TICK_MS) this.#pauses.push({ at: startTime, ms: duration, kind: detail.kind });
      }
    }).observe({ entryTypes: ['gc'] });
    this.#profile();
  }

  /** Report of everything since the last one. */
  report(): LoopReport {
    const file = this.#endProfile();
    const now = performance.now();
    const report = { ms: now - this.#since, tickMs: TICK_MS, gaps: this.#gaps, pauses: this.#pauses, profile: file };
    [this.#gaps, this.#pauses] = [[], []];
    this.#profile();
    // the report's own time is not measured
    [this.#since, this.#at, this.#before] = [performance.now(), performance.now(), this.#times()];
    return report;
  }

  #tick(): void {
    const now = performance.now();
    const times = this.#times();
    const ms = now - this.#at;
    const { ran, waited } = this.#before;
    if (ms > NOTED_MS) this.#gaps.push({ at: this.#at, ms, ranMs: times.ran - ran, waitedMs: times.waited - waited });
    [this.#at, this.#before] = [now, times];
  }

  #profile(): void {
    if (profiles === undefined) return;
    this.#profiler = new Session();
    this.#profiler.connect();
    this.#profiler.post('Profiler.enable');
    this.#profiler.post('Profiler.setSamplingInterval', { interval: 1_000 });
    this.#profiler.post('Profiler.start');
  }

  #endProfile(): string | undefined {
    const profiler = this.#profiler;
    if (profiler === undefined) return undefined;
    this.#reports += 1;
    const file = `${profiles}/${process.pid}-${this.#reports}.cpuprofile`;
    profiler.post('Profiler.stop', (_, { profile }) => {
      const zero = Number(process.hrtime.bigint() / 1_000n) - performance.now() * 1_000;
      writeFileSync(file, JSON.stringify({ ...profile, zero }));
    });
    profiler.disconnect();
    return file;
  }
}

if (isMainThread && path !== undefined) {
  const probe = new Probe();
  probe.start();
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(JSON.stringify(probe.report()));
  });
  server.listen(path).unref();
}
