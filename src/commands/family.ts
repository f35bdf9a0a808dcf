/** One IP family at work: its engine and loop, and what follows a sync: stale flows, answers to load balancers. */
import type { AnyBackend } from '../backends/index.ts';
import { Janitor, openFlows } from '../conntrack/janitor.ts';
import type { KernelObject } from '../dataplane/contract.ts';
import { Loop } from '../dataplane/loop.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import type { SyncReport } from '../dataplane/status.ts';
import { inParts, Turn, withRests } from '../dataplane/turn.ts';
import type { IPFamily } from '../model/address.ts';
import type { Place } from '../model/flows.ts';
import { HealthCheckNews } from '../model/health-checks.ts';
import type { Tracker, Work } from '../model/tracker.ts';
import type { FamilyRecord } from '../observe/family-record.ts';
import type { HealthState } from '../observe/health.ts';
import { HealthCheckServers } from '../observe/health-checks.ts';
import type { Progress } from '../observe/progress.ts';
import { tellWrites } from '../observe/writes.ts';
import type { NodeEvents } from './events.ts';
import { tellFirstRead } from './first-read.ts';
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
  const isServed = (owner: string): boolean => reconciler.status(owner).state !== 'Quarantined';
  const aftermath = openAftermath(setup, parts, isServed);
  const told = tellFirstRead(backend, (places) => aftermath.adopted(places));
  const reconciler = openEngine(setup, { ...parts, backend: told }, signal, () => aftermath.repaired());
  const work = {
    waitingFor: () => tracker.waitingFor(),
    hasWork: () => tracker.hasWork(family),
    take: async () => {
      record.taken();
      const work = await withRests(tracker.taking(family));
      await aftermath.note(work);
      return work;
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
      aftermath.repaired();
      events.drifted(family, drift);
    },
    onFailure: (_, failure) => {
      progress.stop(); // after a failure the log says how things stand
      record.failed(failure);
    },
    onRecovery: () => record.recovered(),
    onSync: async (report) => {
      // each of these goes through all Services that the sync was about
      const turn = new Turn();
      await turn.rest();
      record.synced(report);
      await turn.rest();
      await aftermath.synced(report);
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
  onServedAgain: () => void,
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
      onServedAgain();
    },
  });

/** What follows once rules are in the kernel. */
interface Aftermath {
  /** Call with work as it is taken. */
  note(work: Work): Promise<void>;
  /** What the kernel held when this process came. */
  adopted(places: Iterable<Place>): void;
  synced(report: SyncReport): Promise<void>;
  /** Something in the kernel was not as it had been left, and is again. */
  repaired(): void;
  stop(): Promise<void>;
}

const openAftermath = ({ log }: Setup, parts: FamilyParts, isServed: (owner: string) => boolean): Aftermath => {
  const { family, tracker, record, health, interfaceAddresses, events } = parts;
  const janitor = new Janitor({
    family,
    open: openFlows,
    localAddresses: interfaceAddresses,
    log,
    onCleaned: (seconds, deleted) => record.flowsCleaned(seconds, deleted),
  });
  const news = new HealthCheckNews((service) => tracker.healthCheck(service, family));
  const healthChecks = new HealthCheckServers(family, {
    // who cannot write rules must not be sent traffic by them; as in kube-proxy that goes for all families together
    isHealthy: () => health.isHealthy(),
    isServed,
    onProblem: (problem) => {
      log.warn({ ipFamily: family, ...problem }, 'health check not served');
      events.healthCheckUnserved(problem);
    },
  });
  return {
    note: async (work) => {
      news.note(work);
      janitor.note({ ...work, services: [] });
      await inParts(work.services, (services) => janitor.note({ ...work, services, gone: [] }));
    },
    adopted: (places) => janitor.adopted(places),
    synced: async ({ full, services, gone }) => {
      janitor.synced([], gone);
      await inParts(services, (part) => janitor.synced(part, []));
      // at the start, and after a failure: for a while nobody knows how long the rules were not what they are now
      if (full) janitor.repaired();
      const { changes, addresses } = news.take();
      healthChecks.update(changes, addresses);
    },
    repaired: () => janitor.repaired(),
    stop: async () => {
      await Promise.all([janitor.stop(), healthChecks.stop()]);
    },
  };
};
