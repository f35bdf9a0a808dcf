/** One IP family at work: its engine and loop, and what follows a sync: stale flows, answers to load balancers. */
import type { AnyBackend } from '../backends/index.ts';
import { Janitor, openFlows } from '../conntrack/janitor.ts';
import type { KernelObject } from '../dataplane/contract.ts';
import { Loop } from '../dataplane/loop.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import type { SyncReport } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import { HealthCheckNews } from '../model/health-checks.ts';
import type { Tracker, Work } from '../model/tracker.ts';
import type { FamilyRecord } from '../observe/family-record.ts';
import type { HealthState } from '../observe/health.ts';
import { HealthCheckServers } from '../observe/health-checks.ts';
import type { Progress } from '../observe/progress.ts';
import { tellWrites } from '../observe/writes.ts';
import type { NodeEvents } from './events.ts';
import type { Setup } from './setup.ts';

export interface FamilyParts {
  readonly family: IPFamily;
  readonly backend: AnyBackend;
  readonly tracker: Tracker;
  readonly progress: Progress;
  readonly record: FamilyRecord;
  /** Of all families. */
  readonly health: HealthState;
  readonly interfaceAddresses: () => readonly string[];
  readonly events: NodeEvents;
  /** What was there at the start is in the kernel. */
  readonly onFirstSync: (family: IPFamily) => void;
}

export interface FamilyAtWork {
  /** Something changed. */
  request(): void;
  /** Ends after the write under way; the kernel keeps what it has. */
  stop(): Promise<void>;
}

export const startFamily = (setup: Setup, parts: FamilyParts, signal: AbortSignal): FamilyAtWork => {
  const { config, log } = setup;
  const { family, backend, tracker, progress, record, events, onFirstSync } = parts;
  const { syncPeriodMs, minSyncPeriodMs } = config[config.mode];
  const reconciler = openEngine(setup, parts, signal);
  const aftermath = openAftermath(setup, parts);
  const work = {
    waitingFor: () => tracker.waitingFor(),
    hasWork: () => tracker.hasWork(family),
    take: () => {
      record.taken();
      return aftermath.note(tracker.take(family));
    },
  };
  const loop = new Loop(work, reconciler, {
    name: family,
    minIntervalMs: minSyncPeriodMs ?? 0,
    syncPeriodMs,
    log,
    onQueued: () => record.queued(),
    onDrift: (drift) => {
      record.drifted(drift);
      events.drifted(family, drift);
    },
    onFailure: (_, failure) => {
      progress.stop(); // after a failure the log says how things stand
      record.failed(failure);
    },
    onSync: (report) => {
      record.synced(report);
      aftermath.synced(report);
      onFirstSync(family);
    },
    watch: backend.watch?.bind(backend),
  });
  record.begin(reconciler);
  return {
    request: () => loop.request(),
    stop: async () => {
      await loop.stop();
      await aftermath.stop();
    },
  };
};

const openEngine = (
  { config, log }: Setup,
  { family, backend, progress, record, events }: FamilyParts,
  signal: AbortSignal,
): Reconciler<KernelObject, unknown> =>
  new Reconciler(tellWrites(backend, record), {
    signal,
    lastRetryMs: config[config.mode].syncPeriodMs,
    onProgress: (part) => progress.update(family, part),
    onNote: (owner, note) => log.warn({ ipFamily: family, owner, note }, 'not served as asked for'),
    onQuarantine: (owner, error) => {
      log.error({ ipFamily: family, owner, error }, 'refused by the kernel, set aside');
      record.quarantined(owner);
      events.quarantined(family, owner, error);
    },
    onRelease: (owner, isServed) => {
      log.info({ ipFamily: family, owner, isServed }, 'not set aside any more');
      events.released(family, owner, isServed);
    },
  });

/** What follows once rules are in the kernel. */
interface Aftermath {
  /** Call with work as it is taken. Gives the same. */
  note(work: Work): Work;
  synced(report: SyncReport): void;
  stop(): Promise<void>;
}

const openAftermath = ({ log }: Setup, parts: FamilyParts): Aftermath => {
  const { family, tracker, record, health, interfaceAddresses, events } = parts;
  const janitor = new Janitor({
    family,
    connection: openFlows(),
    localAddresses: interfaceAddresses,
    log,
    onCleaned: (seconds, deleted) => record.flowsCleaned(seconds, deleted),
  });
  const news = new HealthCheckNews((service) => tracker.healthCheck(service, family));
  const healthChecks = new HealthCheckServers(family, {
    // who cannot write rules must not be sent traffic by them; as in kube-proxy that goes for all families together
    isHealthy: () => health.isHealthy(),
    onProblem: (problem) => {
      log.warn({ ipFamily: family, ...problem }, 'health check not served');
      events.healthCheckUnserved(problem);
    },
  });
  return {
    note: (work) => news.note(work),
    synced: ({ services, gone }) => {
      janitor.synced(services, gone);
      const { changes, addresses } = news.take();
      healthChecks.update(changes, addresses);
    },
    stop: async () => {
      await Promise.all([janitor.stop(), healthChecks.stop()]);
    },
  };
};
