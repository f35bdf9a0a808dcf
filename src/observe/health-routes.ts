/**
 * What the health server answers, to the byte as kube-proxy 1.36: load balancers ask /healthz whether to send new traffic
 * here, the kubelet asks /livez whether to restart the pod.
 */

import type { HealthState } from './health.ts';
import type { Answer } from './health-listener.ts';
import { json, type Route, type Routes } from './server.ts';

export interface HealthRoutesOptions {
  readonly health: HealthState;
  /** The Node object is known, and the node is not about to go. */
  readonly isNodeEligible: () => boolean;
  readonly onProbe: (probe: 'healthz' | 'livez', status: number) => void;
  /** How each check behind a probe turned out. */
  readonly onCheck: (probe: 'healthz' | 'livez', check: string, isWell: boolean) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Go's time that was never set. */
const NEVER = '0001-01-01T00:00:00Z';

const time = (at: number | undefined): string => (at === undefined ? NEVER : new Date(at).toISOString());

export const healthRoutes = (options: HealthRoutesOptions): Routes =>
  new Map<string, Route>([
    ['/healthz', () => healthAnswer('healthz', options)],
    ['/livez', () => healthAnswer('livez', options)],
  ]);

const healthAnswer = (probe: 'healthz' | 'livez', options: HealthRoutesOptions): Answer => {
  const { health, isNodeEligible, onProbe, onCheck, now } = options;
  const { healthy, updatedAt, families } = health.look();
  const nodeEligible = probe === 'healthz' ? isNodeEligible() : undefined;
  const status = healthy && nodeEligible !== false ? 200 : 503;
  const at = now();
  onProbe(probe, status);
  for (const [family, one] of families) onCheck(probe, `sync-${family.toLowerCase()}`, one.healthy);
  if (nodeEligible !== undefined) onCheck(probe, 'node-eligible', nodeEligible);
  return json(status, {
    lastUpdated: time(status === 200 ? at : updatedAt),
    currentTime: time(at),
    nodeEligible, // JSON leaves out what is undefined
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
