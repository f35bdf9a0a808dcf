/** One IP family at work: its engine, its loop and its post-sync work, wired together. */
import type { AnyBackend } from '../backends/mode.ts';
import { periodsOf } from '../config/config.ts';
import type { KernelObject } from '../dataplane/contract.ts';
import { Loop } from '../dataplane/loop.ts';
import { Reconciler } from '../dataplane/reconciler.ts';
import { Turn, withRests } from '../dataplane/turn.ts';
import type { IPFamily } from '../model/address.ts';
import type { Tracker } from '../model/tracker.ts';
import type { Progress } from '../observe/progress.ts';
import { listenToWrites } from '../observe/writes.ts';
import { listenToFirstRead } from './first-read.ts';
import { openPostSync, type PostSyncParts } from './post-sync.ts';
import type { Setup } from './setup.ts';

export interface FamilyParts extends PostSyncParts {
  readonly backend: AnyBackend;
  readonly tracker: Tracker;
  readonly progress: Progress;
  /** All Services that were there at the start are in the kernel. */
  readonly onFirstSync: (family: IPFamily) => void;
}

export interface FamilyAtWork {
  /** A change waits in the tracker. */
  request(): void;
  /** Ends after the write under way; the kernel keeps what it has. */
  stop(): Promise<void>;
}

export const startFamily = (setup: Setup, parts: FamilyParts, signal: AbortSignal): FamilyAtWork => {
  const { config, log } = setup;
  const { family, backend, tracker, progress, record, events, onFirstSync } = parts;
  const { syncPeriodMs, minSyncPeriodMs } = periodsOf(config);
  const isServed = (owner: string): boolean => reconciler.status(owner).state !== 'Quarantined';
  const postSync = openPostSync(setup, parts, isServed);
  const reading = listenToFirstRead(backend, (places) => postSync.adopted(places));
  const reconciler = openEngine(setup, { ...parts, backend: reading }, signal, () => postSync.repaired());
  const work = {
    waitingFor: () => tracker.waitingFor(),
    hasWork: () => tracker.hasWork(family),
    take: async () => {
      record.taken();
      const work = await withRests(tracker.taking(family));
      await postSync.note(work);
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
      postSync.repaired();
      events.drifted(family, drift);
    },
    onFailure: (_, failure) => {
      progress.stop(); // after a failure the log shows the state
      record.failed(failure);
    },
    onRecovery: () => record.recovered(),
    onSync: async (report) => {
      // each of these walks all Services of the sync
      const turn = new Turn();
      await turn.rest();
      record.synced(report);
      await turn.rest();
      await postSync.synced(report);
      onFirstSync(family);
    },
    watch: backend.watch?.bind(backend),
  });
  record.begin(reconciler);
  return {
    request: () => loop.request(),
    stop: async () => {
      await loop.stop();
      await postSync.stop();
    },
  };
};

const openEngine = (
  { config, log }: Setup,
  { family, backend, progress, record, events }: FamilyParts,
  signal: AbortSignal,
  onServedAgain: () => void,
): Reconciler<KernelObject, unknown> =>
  new Reconciler(listenToWrites(backend, record), {
    signal,
    lastRetryMs: periodsOf(config).syncPeriodMs,
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
