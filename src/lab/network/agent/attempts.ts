/**
 * Attempts, each on a new socket: a probe has a number of them, a load runs until it is stopped and keeps counts only.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProbeOutcome, ProbeTarget } from '../outcome.ts';
import { failureName } from '../summary.ts';
import type { AgentTask, LoadOptions, LoadTotals, ProbeOptions } from './calls.ts';
import { DEFAULT_PARALLEL, DEFAULT_TIMEOUT_MS } from './calls.ts';
import { openProbeSocket } from './probe-socket.ts';

/** One attempt; its first event is its outcome. */
const attempt = (target: ProbeTarget): Promise<ProbeOutcome> =>
  new Promise((resolve) => {
    let settled = false;
    const settle = (outcome: ProbeOutcome): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      socket.end();
      resolve(outcome);
    };
    const socket = openProbeSocket(target, settle);
    const timer = setTimeout(() => settle({ kind: 'timeout' }), target.timeoutMs);
  });

/** Runs `tries` attempts, a bounded number at once; returns their outcomes in order. */
export const probe = async (options: ProbeOptions): Promise<readonly ProbeOutcome[]> => {
  const { tries = 1, parallel = DEFAULT_PARALLEL, ...target } = options;
  const outcomes: ProbeOutcome[] = [];
  let next = 0;
  const row = async (): Promise<void> => {
    while (next < tries) {
      const index = next++;
      outcomes[index] = await attempt({ timeoutMs: DEFAULT_TIMEOUT_MS, ...target });
    }
  };
  const rows = target.localPort === undefined ? Math.min(parallel, tries) : 1;
  await Promise.all(Array.from({ length: rows }, row));
  return outcomes;
};

interface AttemptCounts {
  tries: number;
  answers: number;
  readonly servers: Record<string, number>;
  readonly failures: Record<string, number>;
}

const count = (counts: AttemptCounts, outcome: ProbeOutcome): void => {
  const [counters, name] =
    outcome.kind === 'answer' ? [counts.servers, outcome.server] : [counts.failures, failureName(outcome)];
  counts.tries += 1;
  counts.answers += outcome.kind === 'answer' ? 1 : 0;
  counters[name] = (counters[name] ?? 0) + 1;
};

export const startLoad = (options: LoadOptions): AgentTask<LoadTotals> => {
  const { parallel = DEFAULT_PARALLEL, pauseMs = 0, seconds = Number.POSITIVE_INFINITY, ...target } = options;
  const began = performance.now();
  const counts: AttemptCounts = { tries: 0, answers: 0, servers: {}, failures: {} };
  let stopped = false;
  let ended: number | undefined;
  const elapsed = (): number => ((ended ?? performance.now()) - began) / 1000;
  const row = async (): Promise<void> => {
    while (!stopped && elapsed() < seconds) {
      count(counts, await attempt({ timeoutMs: DEFAULT_TIMEOUT_MS, ...target }));
      if (pauseMs > 0) await sleep(pauseMs);
    }
  };
  const done = Promise.all(Array.from({ length: parallel }, row)).then(() => {
    ended = performance.now();
  });
  const state = async (): Promise<LoadTotals> =>
    structuredClone({ ...counts, seconds: elapsed(), running: ended === undefined });
  const stop = async (): Promise<LoadTotals> => {
    stopped = true;
    await done; // at most an attempt's time-out and a pause
    return state();
  };
  return { state, stop };
};
