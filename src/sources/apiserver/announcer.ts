/**
 * Says what happens to the connection, without repeating itself: four reflectors meet the same trouble at once, and go
 * on meeting it for as long as it lasts.
 */
import { describeError, type Log } from '../source.ts';
import { makeRoom } from './room.ts';

export type Level = 'info' | 'warn' | 'error';

export interface Announcer {
  /** The same message about the same error is said once in a while only, with the count of what was left out. */
  say(level: Level, fields: Readonly<Record<string, unknown>>, message: string, error?: unknown): void;
}

interface Said {
  readonly at: number;
  suppressed: number;
}

/** More different messages than this are not remembered. */
const MEMORY = 100;

export const createAnnouncer = (log: Log, everyMs: number, now: () => number): Announcer => {
  const said = new Map<string, Said>();
  return {
    say: (level, fields, message, error) => {
      const cause = error === undefined ? {} : { error: describeError(error) };
      const key = [message, cause.error].join('\n');
      const before = said.get(key);
      if (before !== undefined && now() - before.at < everyMs) {
        before.suppressed += 1;
        return;
      }
      said.delete(key);
      makeRoom(said, MEMORY);
      said.set(key, { at: now(), suppressed: 0 });
      const repeated = before !== undefined && before.suppressed > 0 ? { repeated: before.suppressed } : {};
      log[level]({ ...fields, ...cause, ...repeated }, message);
    },
  };
};
