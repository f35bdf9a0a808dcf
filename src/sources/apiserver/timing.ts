/**
 * Every number of milliseconds that the client of an API server lives by. Those of client-go 1.36 where it has them, but for
 * the back-off: a change that was made while the API server was away is late by as much as the next attempt.
 */

export interface Timing {
  /** The longest wait before the first retry; doubles with each while nothing works. */
  readonly backoffFirstMs: number;
  /** The longest wait as long as nobody answers, or a stream breaks time and again. */
  readonly backoffMaxMs: number;
  /** An outage's age is this many times its longest wait, once that is more than `backoffMaxMs`. */
  readonly outageShare: number;
  /** The longest wait where the server is there and refuses, and in very long outages. */
  readonly refusedMaxMs: number;
  /** A server's Retry-After is obeyed up to here. */
  readonly retryAfterMaxMs: number;
  /** Bounds of timeoutSeconds: how long a watch is asked to last. */
  readonly watchSeconds: readonly [number, number];
  /** So long after timeoutSeconds the server should have closed the watch by itself. */
  readonly deadlineGraceMs: number;
  /** Once a bookmark came, the next bytes are due within this: the server sends a bookmark each minute. */
  readonly bookmarkSilenceMs: number;
  /** The longest silence before the end of the initial events of a streaming list. */
  readonly initialSilenceMs: number;
  /** The longest silence within the body of a list. */
  readonly bodySilenceMs: number;
  /** A watch that lasted so long has worked; one that ends earlier, time and again, is not asked for at once. */
  readonly shortWatchMs: number;
  /** How often at least to ask for what was never to be had, and for streaming lists that were refused. */
  readonly missingRetryMs: number;
  /** How long everything waits for an optional resource, and for a wanted one, once the required ones are here. */
  readonly optionalWaitMs: number;
  readonly wantedWaitMs: number;
  /** How often to say the same thing. */
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
