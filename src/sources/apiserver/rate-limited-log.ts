/**
 * A log with a rate limit for equal messages: four reflectors report the same trouble at once, for as long as it lasts.
 */
import { describeError, type Log } from '../source.ts';
import { evictOldest } from './evict-oldest.ts';

export type Level = 'info' | 'warn' | 'error';

export interface RateLimitedLog {
  /** Logs a message; an equal message with an equal error only once per interval, with the count of those left out. */
  say(level: Level, fields: Readonly<Record<string, unknown>>, message: string, error?: unknown): void;
}

interface LastMessage {
  readonly at: number;
  suppressed: number;
}

/** Number of distinct messages that are remembered. */
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
