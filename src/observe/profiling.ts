/**
 * Pages that `--profiling` adds to the metrics server: profiles in the formats of Chrome's developer tools, and the log's
 * verbosity.
 *
 * One profile is made at a time, and its length is bounded, as any client that guard.ts admits may request one.
 */
import { Session } from 'node:inspector/promises';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapSnapshot } from 'node:v8';
import type { Logger } from 'pino';
import { type Answer, json, type Route, type Routes, type StreamedAnswer, text } from './http.ts';
import { levelOf } from './log.ts';

const USUAL_SECONDS = 30;
/** Longest profile in seconds: less than the silence after which the server closes a connection. */
const MOST_SECONDS = 60;

const INDEX = `/debug/pprof/profile?seconds=N   CPU profile of N seconds (${USUAL_SECONDS}, at most ${MOST_SECONDS}): .cpuprofile
/debug/pprof/heap                what is in memory; the proxy stands still while it is taken: .heapsnapshot
`;

export const profilingRoutes = (log: Pick<Logger, 'level' | 'info'>): Routes => {
  const profiling = new Profiling();
  return new Map<string, Route>([
    ['/debug/pprof', () => text(200, INDEX)],
    ['/debug/pprof/', () => text(200, INDEX)],
    ['/debug/pprof/profile', ({ query }) => profiling.cpu(query.get('seconds'))],
    ['/debug/pprof/heap', () => profiling.heap()],
    ['PUT /debug/flags/v', ({ body }) => setVerbosity(log, body.trim())],
  ]);
};

const setVerbosity = (log: Pick<Logger, 'level' | 'info'>, verbosity: string) => {
  if (!/^\d{1,9}$/.test(verbosity))
    return text(400, `expected a verbosity such as 4, got ${JSON.stringify(verbosity)}\n`);
  log.level = levelOf(Number(verbosity));
  log.info({ verbosity: Number(verbosity), level: log.level }, 'the verbosity of the log was set');
  return text(200, `verbosity is ${verbosity}\n`);
};

class Profiling {
  #isBusy = false;

  /** CPU profile; `asked`: its length in seconds. */
  async cpu(asked: string | null) {
    const seconds = asked === null ? USUAL_SECONDS : Number(asked);
    if (!(seconds > 0 && seconds <= MOST_SECONDS)) {
      return text(400, `seconds: expected a number above 0, at most ${MOST_SECONDS}, got ${JSON.stringify(asked)}\n`);
    }
    return this.#alone(async () => {
      const profile = await profileFor(seconds);
      return { ...json(200, profile), headers: attachment('application/json', 'pointsman.cpuprofile') };
    });
  }

  heap() {
    return this.#alone(async (): Promise<StreamedAnswer> => {
      const headers = attachment('application/json', 'pointsman.heapsnapshot');
      return { status: 200, headers, body: getHeapSnapshot() };
    });
  }

  async #alone<T extends Answer | StreamedAnswer>(make: () => Promise<T>) {
    if (this.#isBusy) return text(503, 'another profile is being made\n');
    this.#isBusy = true;
    const end = (): void => {
      this.#isBusy = false;
    };
    try {
      const said = await make();
      // a snapshot is in memory as long as a client reads it
      if (said.body instanceof Readable) said.body.once('close', end);
      else end();
      return said;
    } catch (error) {
      end();
      throw error;
    }
  }
}

const attachment = (type: string, name: string): Readonly<Record<string, string>> => ({
  'Content-Type': type,
  'Content-Disposition': `attachment; filename="${name}"`,
  'X-Content-Type-Options': 'nosniff',
});

const profileFor = async (seconds: number): Promise<unknown> => {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await sleep(seconds * 1_000, undefined, { ref: false }); // a profile does not keep the process alive
    return (await session.post('Profiler.stop')).profile;
  } finally {
    session.disconnect();
  }
};
