/**
 * Preloaded into a process with `--import`: measures the turns of its event loop, and tells them over a unix socket.
 *
 * A timer that is due every few milliseconds notes how late it came: what lies between two of its calls is at least one turn.
 * The kernel says how much of that the thread waited for a processor (schedstat), which is others' doing.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { createServer } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import type { Gap, LoopReport, Pause } from './report.ts';

const TICK_MS = 5;
/** Shorter ones are what a loop is like that works. */
const NOTED_MS = 15;

/** The socket on which it is told. */
const path = process.env.LAB_LOOP_PROBE;
/** Where the samples of a profiler go, one file a report, if anywhere. */
const profiles = process.env.LAB_LOOP_PROFILES;

const SCHEDSTAT = `/proc/self/task/${process.pid}/schedstat`;

/** Milliseconds for which this thread was ready and had no processor, since it began. */
const waitedMs = (): number => Number(readFileSync(SCHEDSTAT, 'latin1').split(' ')[1]) / 1e6;

class Probe {
  #gaps: Gap[] = [];
  #pauses: Pause[] = [];
  #since = performance.now();
  #at = performance.now();
  #waited = waitedMs();
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

  /** What was noted since the last report. */
  report(): LoopReport {
    const file = this.#endProfile();
    const now = performance.now();
    const report = { ms: now - this.#since, tickMs: TICK_MS, gaps: this.#gaps, pauses: this.#pauses, profile: file };
    [this.#gaps, this.#pauses] = [[], []];
    this.#profile();
    // the report's own time is nobody's turn
    [this.#since, this.#at, this.#waited] = [performance.now(), performance.now(), waitedMs()];
    return report;
  }

  #tick(): void {
    const now = performance.now();
    const waited = waitedMs();
    const ms = now - this.#at;
    if (ms > NOTED_MS) this.#gaps.push({ at: this.#at, ms, waitedMs: waited - this.#waited });
    [this.#at, this.#waited] = [now, waited];
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
