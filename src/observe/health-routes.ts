/**
 * Pages of the health server, to the byte as in kube-proxy 1.36: load balancers probe /healthz to decide whether this node
 * gets new traffic, the kubelet probes /livez to decide whether the pod is restarted.
 */

import type { HealthState } from './health.ts';
import { type Answer, json, type Route, type Routes } from './http.ts';

export interface HealthRoutesOptions {
  readonly health: HealthState;
  /** True when the Node object is known and the node is not about to be deleted. */
  readonly isNodeEligible: () => boolean;
  readonly onProbe: (probe: 'healthz' | 'livez', status: number) => void;
  /** Called with the result of each check of a probe. */
  readonly onCheck: (probe: 'healthz' | 'livez', check: string, isWell: boolean) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Go's zero time. */
const NEVER = '0001-01-01T00:00:00Z';

const time = (at: number | undefined): string => (at === undefined ? NEVER : new Date(at).toISOString());

export const healthRoutes = (options: HealthRoutesOptions): Routes =>
  new Map<string, Route>([
    ['/healthz', () => healthAnswer('healthz', options)],
    ['/livez', () => healthAnswer('livez', options)],
  ]);

const healthAnswer = (probe: 'healthz' | 'livez', options: HealthRoutesOptions): Answer => {
  const { health, isNodeEligible, onProbe, onCheck, now } = options;
  const { healthy, updatedAt, families } = health.snapshot();
  const nodeEligible = probe === 'healthz' ? isNodeEligible() : undefined;
  const status = healthy && nodeEligible !== false ? 200 : 503;
  const at = now();
  onProbe(probe, status);
  for (const [family, one] of families) onCheck(probe, `sync-${family.toLowerCase()}`, one.healthy);
  if (nodeEligible !== undefined) onCheck(probe, 'node-eligible', nodeEligible);
  return json(status, {
    lastUpdated: time(status === 200 ? at : updatedAt),
    currentTime: time(at),
    nodeEligible, // JSON omits undefined
    healthy,
    status:
      families.size === 0
        ? undefined
        : Object.fromEntries(
            [...families].map(([family, one]) => [
              family,
              {
                lastUpdated: time(one.updatedAt),
                healthy: one.healthy,
              },
            ]),
          ),
  });
};
