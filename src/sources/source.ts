/** The contract of a source: it keeps a sink equal to the objects of an API server or a folder. */
import type { BaseLogger } from 'pino';
import type { ObjectKind, ObjectSink } from '../model/kubernetes.ts';
import type { Missing } from '../model/missing.ts';
import type { WatchStats } from '../model/watch-stats.ts';

export type Log = Pick<BaseLogger, 'info' | 'warn' | 'error' | 'debug'>;

export interface ObjectSource {
  /** Live counters; undefined for a source without watches. */
  readonly stats?: Readonly<Record<ObjectKind, WatchStats>>;
  /** Kinds that were handed over as empty because they cannot be listed. */
  missing?(): readonly Missing[];
  /**
   * Hands over each kind as a whole once (`replace`), then changes. Resolves only when aborted; errors are logged and
   * retried, never thrown.
   */
  run(sink: ObjectSink, signal: AbortSignal): Promise<void>;
}

/** Error as one line. Errors of Node.js's network stack may have an empty message and only a code. */
export const describeError = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describeError).join('; ');
  if (!(error instanceof Error)) return String(error);
  return error.message === '' ? ((error as NodeJS.ErrnoException).code ?? error.name) : error.message;
};
