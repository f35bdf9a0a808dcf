/**
 * What a source is: something that keeps a sink up to date with objects, whatever happens to it on the way.
 */
import type { BaseLogger } from 'pino';
import type { ObjectKind, ObjectSink } from '../model/kubernetes.ts';
import type { Missing } from '../model/missing.ts';
import type { WatchStats } from '../model/watch-stats.ts';

export type Log = Pick<BaseLogger, 'info' | 'warn' | 'error' | 'debug'>;

export interface ObjectSource {
  /** Live, where there is something to count. */
  readonly stats?: Readonly<Record<ObjectKind, WatchStats>>;
  /** What was handed over as empty because it is not to be had. */
  missing?(): readonly Missing[];
  /**
   * Hands over everything of each kind once (`replace`), then what changes. Resolves when aborted, and only then;
   * trouble on the way is retried and logged, never thrown.
   */
  run(sink: ObjectSink, signal: AbortSignal): Promise<void>;
}

/** What went wrong, in one line. Errors of node's network stack may have an empty message and only a code. */
export const describeError = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describeError).join('; ');
  if (!(error instanceof Error)) return String(error);
  return error.message === '' ? ((error as NodeJS.ErrnoException).code ?? error.name) : error.message;
};
