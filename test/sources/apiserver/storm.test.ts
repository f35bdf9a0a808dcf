/**
 * Two hundred nodes lose their API server at the same moment and find it again, on a clock of our own: how soon, and how many
 * requests the server is asked in its busiest second.
 */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { ApiConnection } from '../../../src/sources/apiserver/connection.ts';
import { ApiServerSource } from '../../../src/sources/apiserver/source.ts';
import { collectLog, NODE, RecordingSink } from '../support.ts';

const NODES = 200;

/** What is due within the same few milliseconds happens at once: the sum of it is what counts. */
const SLOT_MS = 40;

/** Time that goes on when everybody waits. */
class Clock {
  now = 0;
  readonly #due = new Map<number, (() => void)[]>();

  readonly pause = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (ms <= 0 || signal.aborted) return resolve();
      const slot = Math.floor((this.now + ms) / SLOT_MS);
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#due.set(slot, [...(this.#due.get(slot) ?? []), wake]);
    });

  async until(end: number): Promise<void> {
    await new Promise(setImmediate);
    for (let slot = Math.floor(this.now / SLOT_MS); slot <= Math.floor(end / SLOT_MS); slot += 1) {
      for (let due = this.#due.get(slot); due !== undefined; due = this.#due.get(slot)) {
        this.#due.delete(slot);
        this.now = Math.max(this.now, slot * SLOT_MS);
        for (const wake of due) wake();
        await new Promise(setImmediate);
      }
    }
    this.now = end;
  }

  /** Time in which nobody does anything: who waits until then is late. */
  skip(ms: number): void {
    const late = [...this.#due.entries()].filter(([slot]) => slot * SLOT_MS <= this.now + ms);
    this.now += ms;
    const slot = Math.ceil(this.now / SLOT_MS);
    const woken = late.flatMap(([, due]) => due);
    for (const [former] of late) this.#due.delete(former);
    this.#due.set(slot, [...(this.#due.get(slot) ?? []), ...woken]);
  }
}

/** Accepts every watch and has nothing to say, or is away. */
class Server {
  isAway = false;
  readonly asked: number[] = [];
  readonly #open = new Set<PassThrough>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  connect(onAnswer: () => void): ApiConnection {
    return {
      server: 'http://fake',
      listen: () => undefined,
      close: () => undefined,
      request: async (_, { signal }) => {
        this.asked.push(this.#clock.now);
        if (this.isAway) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
        onAnswer();
        const stream = new PassThrough();
        stream.on('error', () => undefined);
        signal.addEventListener('abort', () => stream.destroy(), { once: true });
        this.#open.add(stream);
        const metadata = { resourceVersion: '1', annotations: { 'k8s.io/initial-events-end': 'true' } };
        stream.write(`${JSON.stringify({ type: 'BOOKMARK', object: { metadata } })}\n`);
        return Object.assign(stream, { statusCode: 200, headers: {} }) as never;
      },
    };
  }

  cut(): void {
    for (const stream of this.#open) stream.destroy(new Error('cut'));
    this.#open.clear();
  }
}

const busiest = (times: readonly number[]): number => {
  const perSecond = new Map<number, number>();
  for (const at of times) perSecond.set(Math.floor(at / 1_000), (perSecond.get(Math.floor(at / 1_000)) ?? 0) + 1);
  return Math.max(...perSecond.values());
};

/** Of a longer outage the middle is slept through: attempts go by its age, and are as many at each as at the other. */
const LONG_MS = 40_000;

const outage = async (awayMs: number) => {
  const clock = new Clock();
  const server = new Server(clock);
  const stop = new AbortController();
  let answers: number[] = [];
  const running = Array.from({ length: NODES }, () => {
    const connection = server.connect(() => void answers.push(clock.now));
    const times = { clock: () => clock.now, pause: clock.pause };
    const source = new ApiServerSource({ connection, nodeName: NODE, log: collectLog(), ...times });
    return source.run(new RecordingSink(), stop.signal);
  });
  await clock.until(60_000);
  server.isAway = true;
  server.cut();
  if (awayMs > LONG_MS) {
    await clock.until(60_000 + LONG_MS / 2);
    clock.skip(awayMs - LONG_MS);
  }
  await clock.until(60_000 + awayMs);
  const whileAway = server.asked.splice(0).filter((at) => at >= 60_000);
  server.isAway = false;
  answers = [];
  await clock.until(60_000 + awayMs + 40_000);
  const woken = 60_000 + awayMs - LONG_MS / 2;
  const late = answers.map((at) => at - 60_000 - awayMs).sort((a, b) => a - b);
  stop.abort();
  await Promise.all(running);
  return {
    late,
    median: late[Math.floor(late.length / 2)] ?? Infinity,
    // the second of the cut itself is everybody's first attempt, and what was slept through is made up for
    steady: busiest(whileAway.filter((at) => at >= 63_000 && !(at >= woken && at < woken + 3_000))) || 0,
    first: busiest(whileAway),
    after: busiest(server.asked),
  };
};

describe('200 nodes whose API server was away', () => {
  it.each([[3], [30], [600]])(
    'for %d s are all back within seconds, and do not storm',
    { timeout: 120_000 },
    async (seconds) => {
      const { late, median, steady, first, after } = await outage(seconds * 1_000);
      expect(late).toHaveLength(NODES * 4);
      expect(median).toBeLessThan(2_000);
      expect(late.at(-1)).toBeLessThan(7_000);
      expect(first).toBeLessThan(NODES * 8);
      expect(after).toBeLessThan(NODES * 4);
      if (seconds > 10) expect(steady).toBeLessThan(NODES * 1.5);
    },
  );
});
