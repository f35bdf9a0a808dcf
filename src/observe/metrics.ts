/**
 * What is counted, and its exposition. Told of what happens by whoever wires things; asks nobody but at a scrape.
 *
 * In the text format alone, as kube-proxy: prom-client has one format a registry, and in the other one kube-proxy's
 * gauges with `_total` in their names would be wrong.
 */
import { Registry } from 'prom-client';
import type { Failure } from '../dataplane/loop.ts';
import type { ChangeCounts, Drift, SyncReport } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import { OBJECT_KINDS, type ObjectKind, objectKey } from '../model/kubernetes.ts';
import type { ServiceEndpoints } from '../model/topology.ts';
import { type KubeProxySeries, kubeProxySeries, type Mode } from './kube-proxy-series.ts';
import { NoLocalEndpoints, TRAFFIC_POLICIES } from './no-local-endpoints.ts';
import { type OwnSeries, ownSeries } from './own-series.ts';
import { type Answered, type Ended, type RestSeries, restSeries } from './rest-series.ts';

/** How watching one kind goes. */
export interface WatchStats {
  readonly relists: number;
  readonly watchRestarts: number;
  /** On `clock`; 0 = never. */
  readonly lastEventAt: number;
}

/** How things stand; asked at each scrape. */
export interface Gauged {
  readonly quarantined: ReadonlyMap<IPFamily, number>;
  /** By table: rules in the kernel. Nothing where the mode has none. */
  readonly rules: ReadonlyMap<IPFamily, ReadonlyMap<string, number>>;
  /** By kind; undefined where the source does not watch. */
  readonly watches: Readonly<Record<string, WatchStats>> | undefined;
  /** The kinds of the objects that cannot be read. */
  readonly malformed: readonly ObjectKind[];
  readonly skipped: number;
  /** Of Events, by what became of them; undefined where nobody is told. */
  readonly events?: Readonly<Record<string, number>> | undefined;
}

export interface MetricsOptions {
  readonly mode: Mode;
  readonly version: string;
  readonly families: readonly IPFamily[];
  readonly gauged: () => Gauged;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Milliseconds, by a clock that nobody sets. */
  readonly clock?: () => number;
}

const DRIFT_KINDS = ['missing', 'changed', 'foreign'] as const;
const OPS = { added: 'add', replaced: 'replace', removed: 'remove' } as const;
const COUNTS = ['added', 'replaced', 'removed'] as const;
const CODES = [200, 503] as const;
/** Those that kube-proxy tells of. */
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
    this.#theirs = kubeProxySeries(this.#registry, options.mode);
    this.#ours = ownSeries(this.#registry);
    this.#rest = restSeries(this.#registry);
    const unit = options.mode === 'ipvs' ? 'service' : 'port';
    this.#noLocal = new Map(options.families.map((family) => [family, new NoLocalEndpoints(unit)]));
    this.#ours.build.set({ version: options.version, mode: options.mode }, 1);
    for (const code of CODES) for (const probe of ['healthz', 'livez'] as const) this.#theirs[probe].inc({ code }, 0);
    for (const family of options.families) this.#begin(family);
  }

  async exposition(): Promise<string> {
    this.#gauge();
    return this.#registry.metrics();
  }

  /** A sync was asked for. */
  queued(family: IPFamily): void {
    this.#theirs.lastQueued.set({ ip_family: family }, this.#now() / 1_000);
  }

  /** So many events of a kind came; some lead to work, and wait. */
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

  /** A family took up what waited. As in kube-proxy both families share the two gauges. */
  taken(): void {
    this.#theirs.endpointsPending.set(0);
    this.#theirs.servicesPending.set(0);
  }

  /** Costs what the sync was about. */
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

  /** By table: how many rules the last sync wrote. */
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

  /** A batch is in the kernel. */
  written(family: IPFamily, counts: ChangeCounts): void {
    this.#ours.transactions.inc({ ip_family: family, result: 'written' });
    for (const what of COUNTS) this.#ours.objects.inc({ ip_family: family, op: OPS[what] }, counts[what]);
  }

  /** A batch is not, or not wholly; `onlyRemoves` = it would only have removed something. */
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

  /** The health server answered. */
  probed(probe: 'healthz' | 'livez', code: number): void {
    this.#theirs[probe].inc({ code });
  }

  /** A request to the API server was answered, or was not. */
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

  /** Series exist from the start: a rate over the first event needs the 0 before it. */
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

/** One of each Service, as kube-proxy counts: its ports all tell the same. */
const triggers = (services: readonly ServiceEndpoints[]): readonly number[] => {
  const byService = new Map<string, readonly number[]>();
  for (const { port, triggeredAt } of services)
    if (triggeredAt.length > 0) byService.set(objectKey(port.name), triggeredAt);
  return [...byService.values()].flat();
};
