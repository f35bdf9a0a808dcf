/**
 * How long to wait after trouble: doubling, with full jitter, forgotten after a long enough time of health.
 *
 * Full jitter because all nodes of a cluster lose their API server at the same moment.
 */
export type Backoff = () => number;

export interface BackoffTiming {
  /** The longest wait before the first retry; doubles with each. */
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  /** So long without trouble, and the back-off starts afresh. */
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
