/**
 * Back-off after errors: doubles, with full jitter, and is reset after a healthy period.
 *
 * Full jitter, because all nodes of a cluster lose their API server at the same moment.
 */
export type Backoff = () => number;

export interface BackoffTiming {
  /** Longest wait before the first retry; doubles with each retry. */
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  /** Healthy period after which the back-off starts afresh. */
  readonly healthyMs: number;
}

export const createBackoff = (timing: BackoffTiming, now: () => number, random: () => number): Backoff => {
  let bound = 0;
  let resumedAt = 0;
  return () => {
    const healthy = now() - resumedAt > timing.healthyMs;
    bound = bound === 0 || healthy ? timing.backoffFirstMs : Math.min(bound * 2, timing.backoffMaxMs);
    const delay = bound * random();
    resumedAt = now() + delay;
    return delay;
  };
};
