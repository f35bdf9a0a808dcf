/**
 * Runs of one family's engine: on changes (through the pacer), after failures with a back-off, and for audits.
 *
 * Rules are written only once every source has synced, and an API server that is gone leaves them as they are.
 */
import type { BaseLogger } from 'pino';
import type { Work } from '../model/family-work.ts';
import { type Clock, systemClock } from './clock.ts';
import type { KernelObject } from './contract.ts';
import { Pacer } from './pacer.ts';
import type { Reconciler } from './reconciler.ts';
import { type Drift, isDrift, type SyncReport } from './status.ts';

/** Source of the loop's work: the model's tracker, as one family sees it. */
export interface WorkSource {
  waitingFor(): string | undefined;
  hasWork(): boolean;
  take(): Promise<Work>;
}

/** Failure of a sync or an audit as a whole. */
export interface Failure {
  readonly what: 'sync' | 'audit';
  readonly message: string;
  /** True when the kernel had to be read first. */
  readonly full: boolean;
  readonly durationMs: number;
}

export interface LoopOptions {
  readonly name: string;
  readonly minIntervalMs: number;
  /** Time between two audits, and the longest wait before a failed sync is tried again. */
  readonly syncPeriodMs: number;
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error' | 'debug'>;
  readonly clock?: Clock;
  /** Called after a sync; the next sync waits for its end. */
  readonly onSync?: (report: SyncReport) => void | Promise<void>;
  readonly onDrift?: (drift: Drift) => void;
  readonly onFailure?: (message: string, failure: Failure) => void;
  /** Called when an audit succeeds after one that failed, and the last sync did not fail. */
  readonly onRecovery?: () => void;
  /** Called when a change waits to be written. */
  readonly onQueued?: () => void;
  /** Subscribes to writes of other programs to our objects, where the kernel reports them. */
  readonly watch?: ((onChange: () => void) => { stop(): void }) | undefined;
}

const FIRST_RETRY_MS = 200;
/** Least time between two audits that writes of other programs request. */
const AUDIT_INTERVAL_MS = 250;
/**
 * Rest after an audit, as a multiple of its read's length. Where tools run one at a time, a change waits for the end of a
 * listing, which iptables-nft-save (1.8.9) makes long on large tables (`npm run bench -- loop`).
 */
const AUDIT_RESTS = 9;
/** Objects that a drift's log line names; it counts the others. */
const NAMED = 5;

export class Loop<O extends KernelObject, B> {
  readonly #work: WorkSource;
  readonly #reconciler: Reconciler<O, B>;
  readonly #options: LoopOptions;
  readonly #clock: Clock;
  readonly #pacer: Pacer;
  /** Audits run on request, once a sync period, and after a failed audit with a back-off of their own. */
  readonly #audits: Pacer;
  #watch: { stop(): void } | undefined;
  #failures = 0;
  #failedAudits = 0;
  /** Objects that other programs had changed, so far. */
  #repaired = 0;
  /** True while work was taken from the tracker and is not in the kernel, as after a failed sync. */
  #unsynced = false;
  #lastNode: Work | undefined;
  #stopped = false;

  constructor(work: WorkSource, reconciler: Reconciler<O, B>, options: LoopOptions) {
    this.#work = work;
    this.#reconciler = reconciler;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#pacer = new Pacer(() => this.#run(), options.minIntervalMs, this.#clock);
    this.#audits = new Pacer(() => this.audit(), AUDIT_INTERVAL_MS, this.#clock);
    this.#audits.requestIn(options.syncPeriodMs);
  }

  /** Requests a sync, if every source has synced and there is work. */
  request(): void {
    if (this.#work.waitingFor() !== undefined || !this.#work.hasWork()) return;
    this.#options.onQueued?.();
    this.#pacer.request();
  }

  /** Number of objects that other programs changed since the start and that were repaired. */
  get repaired(): number {
    return this.#repaired;
  }

  /** Audits the kernel. Returns the milliseconds until the next audit. Never throws. */
  async audit(): Promise<number> {
    const startedAt = this.#clock.now();
    const { syncPeriodMs } = this.#options;
    try {
      this.#tellDrift(await this.#reconciler.audit());
      if (this.#failedAudits > 0 && this.#failures === 0) this.#options.onRecovery?.();
      this.#failedAudits = 0;
      return Math.max(syncPeriodMs, AUDIT_RESTS * this.#reconciler.readMs);
    } catch (error) {
      this.#failed({ what: 'audit', full: true, startedAt }, error);
      this.#failedAudits += 1;
      return backoff(this.#failedAudits, syncPeriodMs);
    }
  }

  /** Stops after the write under way, if any; the kernel keeps its objects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#watch?.stop();
    await Promise.all([this.#pacer.stop(), this.#audits.stop()]);
  }

  async #run(): Promise<number | undefined> {
    if (this.#work.waitingFor() !== undefined) return undefined;
    const retryMs = this.#reconciler.nextRetryMs;
    if (!this.#work.hasWork() && !this.#unsynced && retryMs !== 0) return retryMs;
    const full = this.#lastNode === undefined || this.#failures > 0;
    const startedAt = this.#clock.now();
    this.#unsynced = true;
    try {
      const input = await this.#take();
      this.#lastNode = input;
      const report = await this.#reconciler.sync(input);
      this.#unsynced = false;
      this.#failures = 0;
      await this.#tellSync(report);
      return this.#reconciler.nextRetryMs;
    } catch (error) {
      if (this.#stopped) return undefined;
      this.#failed({ what: 'sync', full, startedAt }, error);
      this.#failures += 1;
      return backoff(this.#failures, this.#options.syncPeriodMs);
    }
  }

  async #take(): Promise<Work> {
    return this.#work.hasWork() || this.#lastNode === undefined ? this.#work.take() : onlyRetry(this.#lastNode);
  }

  async #tellSync(report: SyncReport): Promise<void> {
    // before the first sync no object is ours; after it no write of others may be missed, however long onSync takes
    this.#watch ??= this.#options.watch?.(() => this.#audits.request());
    this.#logSync(report);
    this.#tellDrift(report.drift);
    await this.#options.onSync?.(report);
  }

  #failed({ what, full, startedAt }: Pick<Failure, 'what' | 'full'> & { startedAt: number }, error: unknown): void {
    if (this.#stopped) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#options.log.error({ ipFamily: this.#options.name, error: message }, `${what} failed, rules stay as they are`);
    this.#options.onFailure?.(message, { what, message, full, durationMs: this.#clock.now() - startedAt });
  }

  #logSync({ full, changes, durationMs, services }: SyncReport): void {
    const { added, replaced, removed } = changes;
    const elapsed = `${Math.round(durationMs * 10) / 10}ms`;
    const fields = {
      ipFamily: this.#options.name,
      fullSync: full,
      servicePorts: services.length,
      added,
      replaced,
      removed,
      elapsed,
    };
    this.#options.log[full ? 'info' : 'debug'](fields, 'synced');
  }

  #tellDrift(drift: Drift): void {
    if (!isDrift(drift)) return;
    this.#repaired += drift.missing.length + drift.changed.length + drift.foreign.length;
    this.#logDrift(drift);
    this.#options.onDrift?.(drift);
  }

  #logDrift(drift: Drift): void {
    const named = [...drift.missing, ...drift.changed, ...drift.foreign].slice(0, NAMED);
    const counts = { missing: drift.missing.length, changed: drift.changed.length, foreign: drift.foreign.length };
    const fields = { ipFamily: this.#options.name, ...counts, sinceStart: this.#repaired, objects: named };
    this.#options.log.warn(fields, 'drift found and repaired');
  }
}

const backoff = (failures: number, mostMs: number): number => Math.min(mostMs, FIRST_RETRY_MS * 2 ** (failures - 1));

/** Input without changes: the sync tries again what is outstanding. */
const onlyRetry = (last: Work): Work => ({ node: last.node, nodeChanged: false, services: [], gone: [] });
