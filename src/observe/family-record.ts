/**
 * Record of one family's work: it takes all events of the engine and passes them to metrics, health and the status page, so
 * that the engine knows none of these.
 */
import type { Measure } from '../dataplane/contract.ts';
import type { Failure } from '../dataplane/loop.ts';
import type { Programmed } from '../dataplane/programmed.ts';
import type { ChangeCounts, Drift, OwnerStatus, SyncReport } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import { isPortOf } from '../model/service.ts';
import type { HealthState } from './health.ts';
import type { Metrics } from './metrics.ts';
import type { FamilyRules } from './rules-page.ts';
import type { FamilyStatus, LastSync } from './status-page.ts';
import type { FamilyTraffic, TrafficSource } from './traffic/family-traffic.ts';
import type { WriteListener } from './writes.ts';

/** Part of the engine that is queried: statuses, programmed objects and traffic. */
export interface Engine extends TrafficSource {
  readonly lastError: string | undefined;
  /** Number of rules in the kernel, by table. */
  readonly counts: ReadonlyMap<string, number>;
  statuses(): readonly OwnerStatus[];
  status(owner: string): OwnerStatus;
  programmed(isAsked: (owner: string) => boolean): readonly Programmed[];
}

export interface FamilyRecordOptions {
  readonly family: IPFamily;
  readonly metrics: Metrics;
  readonly health: HealthState;
  /** Undefined without traffic metrics of Services. */
  readonly traffic?: FamilyTraffic | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class FamilyRecord implements WriteListener {
  readonly #options: FamilyRecordOptions;
  readonly #drift = { missing: 0, changed: 0, foreign: 0 };
  /** Owners that were quarantined, some of which may have left the quarantine. */
  readonly #setAside = new Set<string>();
  /** Rules written since the last sync or repair, by table. */
  readonly #rules = new Map<string, number>();
  #engine: Engine | undefined;
  #lastSync: LastSync | undefined;

  constructor(options: FamilyRecordOptions) {
    this.#options = options;
  }

  /** Begins the family's record. */
  begin(engine: Engine): void {
    const { family, metrics, health, traffic } = this.#options;
    this.#engine = engine;
    traffic?.begin(engine);
    health.updated(family);
    metrics.queued(family);
  }

  queued(): void {
    const { family, metrics, health } = this.#options;
    metrics.queued(family);
    health.queued(family);
  }

  taken(): void {
    this.#options.metrics.taken();
    this.#options.health.taken(this.#options.family);
  }

  synced(report: SyncReport): void {
    const { family, metrics, health, traffic, now } = this.#options;
    const { full, durationMs, changes } = report;
    this.#lastSync = { at: now(), full, durationMs, changes };
    health.updated(family);
    metrics.synced(family, report);
    metrics.rulesWritten(family, this.#rules);
    this.#rules.clear();
    traffic?.synced(report);
  }

  failed(failure: Failure): void {
    const { family, metrics, health } = this.#options;
    health.failed(family);
    metrics.failed(family, failure);
  }

  recovered(): void {
    this.#options.health.recovered(this.#options.family);
  }

  drifted(drift: Drift): void {
    this.#rules.clear(); // rules written by an audit are no sync's
    for (const kind of ['missing', 'changed', 'foreign'] as const) this.#drift[kind] += drift[kind].length;
    this.#options.metrics.drifted(this.#options.family, drift);
  }

  quarantined(owner: string): void {
    this.#setAside.add(owner);
  }

  flowsCleaned(seconds: number, deleted: number): void {
    this.#options.metrics.flowsCleaned(this.#options.family, seconds, deleted);
  }

  written(counts: ChangeCounts, measured: readonly Measure[]): void {
    for (const { of, count } of measured) this.#rules.set(of, (this.#rules.get(of) ?? 0) + count);
    this.#options.metrics.written(this.#options.family, counts);
  }

  refused(onlyRemoves: boolean): void {
    this.#options.metrics.refused(this.#options.family, onlyRemoves);
  }

  /** Number of rules in the kernel by table; empty where the mode counts none. */
  get ruleCounts(): ReadonlyMap<string, number> {
    return this.#engine?.counts ?? new Map();
  }

  /** Number of quarantined owners. Costs that number, not the number of all owners. */
  countQuarantined(): number {
    for (const owner of this.#setAside) {
      if (this.#engine?.status(owner).state !== 'Quarantined') this.#setAside.delete(owner);
    }
    return this.#setAside.size;
  }

  /** Status of the family. Costs the number of owners. */
  status(): FamilyStatus {
    const { family, health } = this.#options;
    return {
      family,
      healthy: health.snapshot().families.get(family)?.healthy ?? true,
      lastSync: this.#lastSync,
      lastError: this.#engine?.lastError,
      drift: this.#drift,
      owners: this.#engine?.statuses() ?? [],
    };
  }

  /** Programmed objects of a Service's ports, `ns/name`. Costs the number of all kernel objects. */
  rules(service: string): FamilyRules {
    const owners = this.#engine?.programmed((owner) => isPortOf(owner, service)) ?? [];
    return { family: this.#options.family, owners };
  }
}
