/** One IP family at work: its engine and loop, and what follows a sync: stale flows, answers to load balancers. */
import type { AnyBackend } from '../backends/index.ts';
import { Janitor, openFlows } from '../conntrack/janitor.ts';
import { Loop } from '../dataplane/loop.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import type { SyncReport } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import { HealthCheckNews } from '../model/health-checks.ts';
import type { Tracker } from '../model/tracker.ts';
import { HealthCheckServers } from '../observe/health-checks.ts';
import type { Progress } from '../observe/progress.ts';
import type { Setup } from './setup.ts';

export interface FamilyParts {
  readonly family: IPFamily;
  readonly backend: AnyBackend;
  readonly tracker: Tracker;
  readonly progress: Progress;
  readonly interfaceAddresses: () => readonly string[];
}

export interface FamilyAtWork {
  /** Something changed. */
  request(): void;
  /** Ends after the write under way; the kernel keeps what it has. */
  stop(): Promise<void>;
}

export const startFamily = ({ config, log }: Setup, parts: FamilyParts, signal: AbortSignal): FamilyAtWork => {
  const { family, backend, tracker, progress, interfaceAddresses } = parts;
  const { syncPeriodMs, minSyncPeriodMs } = config[config.mode];
  const reconciler = new Reconciler(backend, {
    signal,
    lastRetryMs: syncPeriodMs,
    onProgress: (part) => progress.update(family, part),
    onNote: (owner, note) => log.warn({ ipFamily: family, owner, note }, 'not served as asked for'),
    onQuarantine: (owner, error) => log.error({ ipFamily: family, owner, error }, 'refused by the kernel, set aside'),
  });
  const janitor = new Janitor({ family, connection: openFlows(), localAddresses: interfaceAddresses, log });
  const news = new HealthCheckNews((service) => tracker.healthCheck(service, family));
  const healthChecks = new HealthCheckServers(family, {
    // who cannot write rules must not be sent traffic by them
    isHealthy: () => reconciler.lastError === undefined,
    onProblem: (problem) => log.warn({ ipFamily: family, ...problem }, 'health check not served'),
  });
  const work = {
    waitingFor: () => tracker.waitingFor(),
    hasWork: () => tracker.hasWork(family),
    take: () => news.note(tracker.take(family)),
  };
  const loop = new Loop(work, reconciler, {
    name: family,
    minIntervalMs: minSyncPeriodMs ?? 0,
    syncPeriodMs,
    log,
    // after a failure the log says how things stand
    onFailure: () => progress.stop(),
    onSync: ({ services, gone }: SyncReport) => {
      janitor.synced(services, gone);
      const { changes, addresses } = news.take();
      healthChecks.update(changes, addresses);
    },
    watch: backend.watch?.bind(backend),
  });
  return {
    request: () => loop.request(),
    stop: async () => {
      await loop.stop();
      await Promise.all([janitor.stop(), healthChecks.stop()]);
    },
  };
};
