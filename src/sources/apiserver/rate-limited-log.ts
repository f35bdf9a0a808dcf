/**
 * Says what happens to the connection, without repeating itself: four reflectors meet the same trouble at once, and go
 * on meeting it for as long as it lasts.
 */
import { describeError, type Log } from '../source.ts';
import { evictOldest } from './evict-oldest.ts';

export type Level = 'info' | 'warn' | 'error';

export interface RateLimitedLog {
  /** The same message about the same error is said once in a while only, with the count of what was left out. */
  say(level: Level, fields: Readonly<Record<string, unknown>>, message: string, error?: unknown): void;
}

interface LastMessage {
  readonly at: number;
  suppressed: number;
}

/** More different messages than this are not remembered. */
const MEMORY = 100;

export const createRateLimitedLog = (log: Log, everyMs: number, now: () => number): RateLimitedLog => {
  const lastMessages = new Map<string, LastMessage>();
  return {
    say: (level, fields, message, error) => {
      const cause = error === undefined ? {} : { error: describeError(error) };
      const key = [message, cause.error].join('\n');
      const before = lastMessages.get(key);
      if (before !== undefined && now() - before.at < everyMs) {
        before.suppressed += 1;
        return;
      }
      lastMessages.delete(key);
      evictOldest(lastMessages, MEMORY);
      lastMessages.set(key, { at: now(), suppressed: 0 });
      const repeated = before !== undefined && before.suppressed > 0 ? { repeated: before.suppressed } : {};
      log[level]({ ...fields, ...cause, ...repeated }, message);
    },
  };
};
