/**
 * Metrics and their exposition. Events are pushed in; gauges are read at each scrape.
 *
 * The text format is the only one, as in kube-proxy: prom-client has one format a registry, and in OpenMetrics kube-proxy's
 * gauges with `_total` in their names are invalid.
 */
import { Registry } from 'prom-client';
import type { Failure } from '../dataplane/loop.ts';
import type { ChangeCounts, Drift, SyncReport } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import { OBJECT_KINDS, type ObjectKind, objectKey } from '../model/kubernetes.ts';
import type { ModeProfile } from '../model/mode-profile.ts';
import type { ServiceEndpoints } from '../model/topology.ts';
import type { WatchStats } from '../model/watch-stats.ts';
import { type KubeProxySeries, kubeProxySeries } from './kube-proxy-series.ts';
import { NoLocalEndpoints, TRAFFIC_POLICIES } from './no-local-endpoints.ts';
import { type OwnSeries, ownSeries } from './own-series.ts';
import { type Answered, type Ended, type RestSeries, restSeries } from './rest-series.ts';

/** Values of gauges, read at each scrape. */
export interface Gauged {
  readonly quarantined: ReadonlyMap<IPFamily, number>;
  /** Number of rules in the kernel by table; empty where the mode counts none. */
  readonly rules: ReadonlyMap<IPFamily, ReadonlyMap<string, number>>;
  /** Watches by kind; undefined where the source does not watch. */
  readonly watches: Readonly<Record<string, WatchStats>> | undefined;
  /** Kind of each object that cannot be read. */
  readonly malformed: readonly ObjectKind[];
  readonly skipped: number;
  /** Number of Kubernetes Events by result; undefined where none are sent. */
  readonly events?: Readonly<Record<string, number>> | undefined;
}

export interface MetricsOptions {
  readonly profile: Pick<ModeProfile, 'mode' | 'metrics'>;
  readonly version: string;
  readonly families: readonly IPFamily[];
  readonly gauged: () => Gauged;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly clock?: () => number;
}

const DRIFT_KINDS = ['missing', 'changed', 'foreign'] as const;
const OPS = { added: 'add', replaced: 'replace', removed: 'remove' } as const;
const COUNTS = ['added', 'replaced', 'removed'] as const;
const CODES = [200, 503] as const;
/** Tables of kube-proxy's series. */
const TABLES = ['filter', 'nat'] as const;

export class Metrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #options: MetricsOptions;
  readonly #now: () => number;
  readonly #clock: () => number;
  readonly #theirs: KubeProxySeries;
  readonly #ours: OwnSeries;
  readonly #rest: RestSeries;
  readonly #noLocal: ReadonlyMap<IPFamily, NoLocalEndpoints>;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#clock = options.clock ?? (() => performance.now());
    this.contentType = this.#registry.contentType;
    this.#theirs = kubeProxySeries(this.#registry, options.profile.metrics.series);
    this.#ours = ownSeries(this.#registry);
    this.#rest = restSeries(this.#registry);
    const { mode, metrics } = options.profile;
    this.#noLocal = new Map(options.families.map((family) => [family, new NoLocalEndpoints(metrics.noLocalEndpoints)]));
    this.#ours.build.set({ version: options.version, mode }, 1);
    for (const code of CODES) for (const probe of ['healthz', 'livez'] as const) this.#theirs[probe].inc({ code }, 0);
    for (const family of options.families) this.#begin(family);
  }

  async exposition(): Promise<string> {
    this.#gauge();
    return this.#registry.metrics();
  }

  /** Notes a requested sync. */
  queued(family: IPFamily): void {
    this.#theirs.lastQueued.set({ ip_family: family }, this.#now() / 1_000);
  }

  /** Counts events of a kind, and those of them that wait for a sync. */
  changed(kind: ObjectKind, events: number, pending: number): void {
    const { endpointChanges, endpointsPending, serviceChanges, servicesPending } = this.#theirs;
    if (kind === 'EndpointSlice') {
      endpointChanges.inc(events);
      endpointsPending.inc(pending);
    } else if (kind === 'Service') {
      serviceChanges.inc(events);
      servicesPending.inc(pending);
    }
  }

  /** Notes a sync that took up all pending changes. Both families share the two gauges, as in kube-proxy. */
  taken(): void {
    this.#theirs.endpointsPending.set(0);
    this.#theirs.servicesPending.set(0);
  }

  /** Notes a sync. Costs its Services. */
  synced(family: IPFamily, report: SyncReport): void {
    const now = this.#now();
    this.#timed(family, report);
    this.#theirs.lastSync.set({ ip_family: family }, now / 1_000);
    for (const at of triggers(report.services)) {
      this.#theirs.programming.observe({ ip_family: family }, Math.max(0, now - at) / 1_000);
    }
    this.#noLocal.get(family)?.update(report.services, report.gone);
    this.#showNoLocal(family);
  }

  /** Sets the number of rules that the last sync wrote, by table. */
  rulesWritten(family: IPFamily, rules: ReadonlyMap<string, number>): void {
    for (const table of TABLES) this.#theirs.rulesLast?.set({ ip_family: family, table }, rules.get(table) ?? 0);
  }

  failed(family: IPFamily, failure: Failure): void {
    this.#ours.failures.inc({ ip_family: family, work: failure.what });
    if (failure.what !== 'sync') return;
    this.#timed(family, failure);
    if (!failure.full) this.#theirs.partialRestoreFailures?.inc({ ip_family: family });
  }

  drifted(family: IPFamily, drift: Drift): void {
    for (const kind of DRIFT_KINDS) this.#ours.drift.inc({ ip_family: family, kind }, drift[kind].length);
  }

  /** Counts a batch that is in the kernel. */
  written(family: IPFamily, counts: ChangeCounts): void {
    this.#ours.transactions.inc({ ip_family: family, result: 'written' });
    for (const what of COUNTS) this.#ours.objects.inc({ ip_family: family, op: OPS[what] }, counts[what]);
  }

  /** Counts a batch that was refused; `onlyRemoves`: all its changes were removals. */
  refused(family: IPFamily, onlyRemoves: boolean): void {
    const { restoreFailures, nftablesFailures, nftablesCleanupFailures } = this.#theirs;
    this.#ours.transactions.inc({ ip_family: family, result: 'refused' });
    restoreFailures?.inc({ ip_family: family });
    (onlyRemoves ? nftablesCleanupFailures : nftablesFailures)?.inc({ ip_family: family });
  }

  flowsCleaned(family: IPFamily, seconds: number, deleted: number): void {
    this.#theirs.flowCleaning.observe({ ip_family: family }, seconds);
    this.#theirs.flowsDeleted.inc({ ip_family: family }, deleted);
  }

  /** Counts a response of the health server. */
  probed(probe: 'healthz' | 'livez', code: number): void {
    this.#theirs[probe].inc({ code });
  }

  /** Counts a request to the API server that was answered or failed. */
  answered({ method, host, code }: Answered): void {
    this.#rest.requests.inc({ code, method, host });
  }

  ended({ method, host, seconds }: Ended): void {
    this.#rest.durations.observe({ verb: method, host }, seconds);
  }

  #timed(family: IPFamily, { full, durationMs }: { readonly full: boolean; readonly durationMs: number }): void {
    const { syncs, fullSyncs, partialSyncs } = this.#theirs;
    syncs.observe({ ip_family: family }, durationMs / 1_000);
    (full ? fullSyncs : partialSyncs)?.observe({ ip_family: family }, durationMs / 1_000);
  }

  /** Sets series to 0 at the start, as a rate over the first event needs a value before it. */
  #begin(family: IPFamily): void {
    const labels = { ip_family: family };
    const { syncs, fullSyncs, partialSyncs, programming, flowCleaning, flowsDeleted } = this.#theirs;
    const { restoreFailures, partialRestoreFailures, nftablesFailures, nftablesCleanupFailures } = this.#theirs;
    for (const histogram of [syncs, fullSyncs, partialSyncs, programming, flowCleaning]) histogram?.zero(labels);
    for (const counter of [
      ...[flowsDeleted, restoreFailures, partialRestoreFailures, nftablesFailures, nftablesCleanupFailures],
    ]) {
      counter?.inc(labels, 0);
    }
    for (const work of ['sync', 'audit']) this.#ours.failures.inc({ ...labels, work }, 0);
    for (const kind of DRIFT_KINDS) this.#ours.drift.inc({ ...labels, kind }, 0);
    for (const result of ['written', 'refused']) this.#ours.transactions.inc({ ...labels, result }, 0);
    for (const op of Object.values(OPS)) this.#ours.objects.inc({ ...labels, op }, 0);
    this.#ours.quarantined.set(labels, 0);
    this.rulesWritten(family, new Map());
    this.#showRules(family, new Map());
    this.#showNoLocal(family);
  }

  #showNoLocal(family: IPFamily): void {
    for (const policy of TRAFFIC_POLICIES) {
      const count = this.#noLocal.get(family)?.count(policy) ?? 0;
      this.#theirs.noLocalEndpoints.set({ ip_family: family, traffic_policy: policy }, count);
    }
  }

  #showRules(family: IPFamily, rules: ReadonlyMap<string, number>): void {
    for (const table of TABLES) this.#theirs.rulesTotal?.set({ ip_family: family, table }, rules.get(table) ?? 0);
  }

  #gauge(): void {
    const { quarantined, rules, watches, malformed, skipped, events = {} } = this.#options.gauged();
    const ours = this.#ours;
    for (const [family, byTable] of rules) this.#showRules(family, byTable);
    for (const [family, count] of quarantined) ours.quarantined.set({ ip_family: family }, count);
    ours.malformed.reset();
    for (const kind of OBJECT_KINDS) ours.malformed.set({ kind }, 0);
    for (const kind of malformed) ours.malformed.inc({ kind });
    ours.skipped.reset();
    ours.skipped.inc(skipped);
    ours.events.reset();
    for (const [result, count] of Object.entries(events)) ours.events.inc({ result }, count);
    ours.relists.reset();
    ours.restarts.reset();
    for (const [kind, { relists, watchRestarts, lastEventAt }] of Object.entries(watches ?? {})) {
      ours.relists.inc({ kind }, relists);
      ours.restarts.inc({ kind }, watchRestarts);
      if (lastEventAt > 0) ours.silence.set({ kind }, (this.#clock() - lastEventAt) / 1_000);
    }
  }
}

/** Trigger times, once for each Service as in kube-proxy: all ports of a Service have the same. */
const triggers = (services: readonly ServiceEndpoints[]): readonly number[] => {
  const byService = new Map<string, readonly number[]>();
  for (const { port, triggeredAt } of services)
    if (triggeredAt.length > 0) byService.set(objectKey(port.name), triggeredAt);
  return [...byService.values()].flat();
};
