/**
 * What is known of one family's work: everything that happens to it is told here, and goes on to metrics, health and the
 * status page. So the engine and what follows it need not know who looks on.
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

/** Whom to ask how owners stand, and what went through their objects. */
export interface Engine extends TrafficSource {
  readonly lastError: string | undefined;
  /** Rules in the kernel, by table. */
  readonly counts: ReadonlyMap<string, number>;
  statuses(): readonly OwnerStatus[];
  status(owner: string): OwnerStatus;
  programmed(isAsked: (owner: string) => boolean): readonly Programmed[];
}

export interface FamilyRecordOptions {
  readonly family: IPFamily;
  readonly metrics: Metrics;
  readonly health: HealthState;
  /** Undefined where no Service has traffic metrics of its own. */
  readonly traffic?: FamilyTraffic | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export class FamilyRecord implements WriteListener {
  readonly #options: FamilyRecordOptions;
  readonly #drift = { missing: 0, changed: 0, foreign: 0 };
  /** Owners that were set aside, and perhaps are no more. */
  readonly #setAside = new Set<string>();
  /** By table: rules written since the last sync or repair. */
  readonly #rules = new Map<string, number>();
  #engine: Engine | undefined;
  #lastSync: LastSync | undefined;

  constructor(options: FamilyRecordOptions) {
    this.#options = options;
  }

  /** The family begins its work. */
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
    this.#rules.clear(); // what was written for it was no sync's
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

  /** Rules in the kernel, by table, where the mode has such. */
  get ruleCounts(): ReadonlyMap<string, number> {
    return this.#engine?.counts ?? new Map();
  }

  /** How many owners are set aside. Costs that many, not all there are. */
  countQuarantined(): number {
    for (const owner of this.#setAside) {
      if (this.#engine?.status(owner).state !== 'Quarantined') this.#setAside.delete(owner);
    }
    return this.#setAside.size;
  }

  /** Costs what there are owners. */
  status(): FamilyStatus {
    const { family, health } = this.#options;
    return {
      family,
      healthy: health.look().families.get(family)?.healthy ?? true,
      lastSync: this.#lastSync,
      lastError: this.#engine?.lastError,
      drift: this.#drift,
      owners: this.#engine?.statuses() ?? [],
    };
  }

  /** What is programmed for the ports of a Service, `ns/name`. Costs what there is at all. */
  rules(service: string): FamilyRules {
    const owners = this.#engine?.programmed((owner) => isPortOf(owner, service)) ?? [];
    return { family: this.#options.family, owners };
  }
}
