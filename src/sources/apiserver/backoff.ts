/**
 * How long to wait after trouble: doubling, with full jitter, forgotten after a long enough time of health.
 *
 * Full jitter because all nodes of a cluster lose their API server at the same moment.
 */
import type { Timing } from './timing.ts';

export type Backoff = () => number;

export const createBackoff = (
  timing: Pick<Timing, 'backoffFirstMs' | 'backoffMaxMs' | 'healthyMs'>,
  now: () => number,
  random: () => number,
): Backoff => {
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
