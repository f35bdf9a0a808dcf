/**
 * Times of the API server client. They are those of client-go 1.36 where it has them, except the back-off: a change
 * made during an outage is late by up to the next attempt.
 */

export interface Timing {
  /** Longest wait before the first retry; doubles with each failure. */
  readonly backoffFirstMs: number;
  /** Longest wait while the server does not answer, or streams keep breaking. */
  readonly backoffMaxMs: number;
  /** Ratio of an outage's age to its longest wait, once that exceeds `backoffMaxMs`. */
  readonly outageShare: number;
  /** Longest wait when the server answers and refuses, and in very long outages. */
  readonly refusedMaxMs: number;
  /** Bound of Retry-After. */
  readonly retryAfterMaxMs: number;
  /** Bounds of timeoutSeconds, the requested duration of a watch. */
  readonly watchSeconds: readonly [number, number];
  /** Time after timeoutSeconds by which the server should have closed the watch. */
  readonly deadlineGraceMs: number;
  /** Longest silence after a bookmark: the server sends one each minute. */
  readonly bookmarkSilenceMs: number;
  /** Longest silence before the end of a streaming list's initial events. */
  readonly initialSilenceMs: number;
  /** Longest silence within the body of a list. */
  readonly bodySilenceMs: number;
  /** Duration from which a watch counts as a success; repeated shorter ones get a back-off. */
  readonly shortWatchMs: number;
  /** Longest interval of requests for a missing resource, and for streaming lists after a refusal. */
  readonly missingRetryMs: number;
  /** Waits for an optional and for a wanted resource, after the required ones are listed. */
  readonly optionalWaitMs: number;
  readonly wantedWaitMs: number;
  /** Interval of equal log messages. */
  readonly repeatLogMs: number;
}

export const DEFAULT_TIMING: Timing = {
  backoffFirstMs: 1_000,
  backoffMaxMs: 3_000,
  outageShare: 200,
  refusedMaxMs: 30_000,
  retryAfterMaxMs: 300_000,
  watchSeconds: [300, 600],
  deadlineGraceMs: 30_000,
  bookmarkSilenceMs: 150_000,
  initialSilenceMs: 10_000,
  bodySilenceMs: 60_000,
  shortWatchMs: 1000,
  missingRetryMs: 600_000,
  optionalWaitMs: 5_000,
  wantedWaitMs: 30_000,
  repeatLogMs: 30_000,
};
