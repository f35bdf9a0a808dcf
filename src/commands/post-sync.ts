/** After a sync: stale flows are deleted, and load balancers get their answers. */
import { openConntrack, StaleFlowCleaner } from '../conntrack/stale-flow-cleaner.ts';
import type { SyncReport } from '../dataplane/status.ts';
import { inParts } from '../dataplane/turn.ts';
import type { IPFamily } from '../model/address.ts';
import type { Work } from '../model/family-work.ts';
import type { AddressPort } from '../model/frontend.ts';
import { PendingHealthChecks } from '../model/health-checks.ts';
import type { Tracker } from '../model/tracker.ts';
import type { FamilyRecord } from '../observe/family-record.ts';
import type { HealthState } from '../observe/health.ts';
import { HealthCheckServers } from '../observe/health-checks.ts';
import type { NodeEvents } from './events.ts';
import type { Setup } from './setup.ts';

export interface PostSyncParts {
  readonly family: IPFamily;
  readonly tracker: Tracker;
  readonly record: FamilyRecord;
  /** State of all families together. */
  readonly health: HealthState;
  readonly interfaceAddresses: () => readonly string[];
  readonly events: NodeEvents;
}

/** Work that follows once rules are in the kernel. */
export interface PostSync {
  /** Call with work as it is taken. */
  note(work: Work): Promise<void>;
  /** Addresses and ports that the kernel served when this process started. */
  adopted(places: Iterable<AddressPort>): void;
  synced(report: SyncReport): Promise<void>;
  /** Drift was repaired. */
  repaired(): void;
  stop(): Promise<void>;
}

export const openPostSync = ({ log }: Setup, parts: PostSyncParts, isServed: (owner: string) => boolean): PostSync => {
  const { family, tracker, record, health, interfaceAddresses, events } = parts;
  const flowCleaner = new StaleFlowCleaner({
    family,
    open: openConntrack,
    localAddresses: interfaceAddresses,
    log,
    onCleaned: (seconds, deleted) => record.flowsCleaned(seconds, deleted),
  });
  const pendingChecks = new PendingHealthChecks((service) => tracker.healthCheck(service, family));
  const healthChecks = new HealthCheckServers(family, {
    // a node that cannot write rules must get no traffic; as in kube-proxy one family's failure counts for all
    isHealthy: () => health.isHealthy(),
    isServed,
    onProblem: (problem) => {
      log.warn({ ipFamily: family, ...problem }, 'health check not served');
      events.healthCheckUnserved(problem);
    },
  });
  return {
    note: async (work) => {
      pendingChecks.note(work);
      flowCleaner.note({ ...work, services: [] });
      await inParts(work.services, (services) => flowCleaner.note({ ...work, services, gone: [] }));
    },
    adopted: (places) => flowCleaner.adopted(places),
    synced: async ({ full, services, gone }) => {
      flowCleaner.synced([], gone);
      await inParts(services, (part) => flowCleaner.synced(part, []));
      // a full sync comes at the start and after a failure: rules may have been otherwise for an unknown time
      if (full) flowCleaner.repaired();
      const { changes, addresses } = pendingChecks.take();
      healthChecks.update(changes, addresses);
    },
    repaired: () => flowCleaner.repaired(),
    stop: async () => {
      await Promise.all([flowCleaner.stop(), healthChecks.stop()]);
    },
  };
};
