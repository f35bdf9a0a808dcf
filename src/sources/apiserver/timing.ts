/**
 * Every number of milliseconds that the client of an API server lives by. Those of client-go 1.36 where it has them.
 */

export interface Timing {
  /** The longest wait before the first retry; doubles with each. */
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  /** So long without trouble, and the back-off starts afresh. */
  readonly healthyMs: number;
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
  /** A watch that ends this early and empty is no reason to ask again at once. */
  readonly shortWatchMs: number;
  /** How often to look again for a resource that the cluster does not have. */
  readonly missingRetryMs: number;
  /** How often to say the same thing. */
  readonly sayAgainMs: number;
}

export const DEFAULT_TIMING: Timing = {
  backoffFirstMs: 800,
  backoffMaxMs: 30_000,
  healthyMs: 120_000,
  retryAfterMaxMs: 300_000,
  watchSeconds: [300, 600],
  deadlineGraceMs: 30_000,
  bookmarkSilenceMs: 150_000,
  initialSilenceMs: 10_000,
  bodySilenceMs: 60_000,
  shortWatchMs: 1000,
  missingRetryMs: 600_000,
  sayAgainMs: 30_000,
};
