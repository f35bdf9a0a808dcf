/** What a probe in a process tells of its event loop, and how to ask it. Times are milliseconds on the process's own clock. */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { packageFile } from '../network/entry.ts';

/** Between two calls of a timer that were further apart than they should have been. */
export interface Gap {
  readonly at: number;
  readonly ms: number;
  /** Part of it in which the process was on a processor. */
  readonly ranMs: number;
  /** Part of it in which the process was ready, and others had the processors. */
  readonly waitedMs: number;
}

/** A pause of the garbage collector. */
export interface Pause {
  readonly at: number;
  readonly ms: number;
  /** As node counts: 1 minor, 4 major, 8 incremental, 16 weak callbacks. */
  readonly kind: number;
}

export interface LoopReport {
  /** How long was measured. */
  readonly ms: number;
  /** Between two calls of the timer: no turn is told more finely. */
  readonly tickMs: number;
  readonly gaps: readonly Gap[];
  readonly pauses: readonly Pause[];
  /** A file with a profiler's samples. */
  readonly profile?: string | undefined;
}

/** The environment of a process that is to be measured; the socket is made there. */
export const probeEnvironment = (socket: string, profiles?: string): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--import=${packageFile('dist/lab/loop-probe.js')}`,
  LAB_LOOP_PROBE: socket,
  ...(profiles === undefined ? {} : { LAB_LOOP_PROFILES: profiles }),
});

/** What was measured since the last call. */
export const takeReport = async (socket: string): Promise<LoopReport> =>
  JSON.parse(await text(connect(socket))) as LoopReport;

/**
 * The time of a gap that was the process's own. Nor is that its own for which it waited for the garbage collector's threads
 * or for a lock: see `blockedMs`.
 */
export const ownMs = ({ ranMs }: Gap): number => ranMs;

/** Neither running nor ready. */
export const blockedMs = ({ ms, ranMs, waitedMs }: Gap): number => Math.max(0, ms - ranMs - waitedMs);

/** The longest turn, of the process's own time. At most one tick longer than it was. */
export const longestTurn = ({ gaps, tickMs }: LoopReport): number => Math.max(tickMs, ...gaps.map(ownMs));
