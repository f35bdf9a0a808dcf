/** Reports of the event loop probe, and requests for them. Times are milliseconds on the measured process's clock. */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { packageFile } from '../network/entry.ts';

/** Gap between two timer calls that exceeds the interval. */
export interface Gap {
  readonly at: number;
  readonly ms: number;
  /** Part of the gap on a processor. */
  readonly ranMs: number;
  /** Part of the gap in which the process was runnable without a processor. */
  readonly waitedMs: number;
}

/** Pause of the garbage collector. */
export interface Pause {
  readonly at: number;
  readonly ms: number;
  /** Kind by Node.js: 1 minor, 4 major, 8 incremental, 16 weak callbacks. */
  readonly kind: number;
}

export interface LoopReport {
  /** Duration of the measurement. */
  readonly ms: number;
  /** Interval of the timer, which bounds the resolution. */
  readonly tickMs: number;
  readonly gaps: readonly Gap[];
  readonly pauses: readonly Pause[];
  /** File with profiler samples. */
  readonly profile?: string | undefined;
}

/** Environment of a measured process, which listens on the socket. */
export const probeEnvironment = (socket: string, profiles?: string): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--import=${packageFile('dist/lab/loop-probe.js')}`,
  LAB_LOOP_PROBE: socket,
  ...(profiles === undefined ? {} : { LAB_LOOP_PROFILES: profiles }),
});

/** Report since the last call. */
export const takeReport = async (socket: string): Promise<LoopReport> =>
  JSON.parse(await text(connect(socket))) as LoopReport;

/**
 * Time of a gap in which the process itself ran. Waits for garbage collector threads or locks are not included, see
 * `blockedMs`.
 */
export const ownMs = ({ ranMs }: Gap): number => ranMs;

/** Time of a gap in which the process was neither running nor runnable. */
export const blockedMs = ({ ms, ranMs, waitedMs }: Gap): number => Math.max(0, ms - ranMs - waitedMs);

/** Longest turn by the process's own time, at most one tick too long. */
export const longestTurn = ({ gaps, tickMs }: LoopReport): number => Math.max(tickMs, ...gaps.map(ownMs));
