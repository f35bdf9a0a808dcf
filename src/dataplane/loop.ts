/**
 * When one family's engine runs: on changes (through the pacer), after failures with a back-off, and for audits.
 *
 * Nothing is written before everything awaited is there, and nothing is ever removed because something is missing: an
 * API server that is gone leaves the rules as they are.
 */
import type { BaseLogger } from 'pino';
import type { SyncInput } from './backlog.ts';
import type { KernelObject } from './contract.ts';
import { type Clock, Pacer, systemClock } from './pacer.ts';
import type { Reconciler } from './reconciler.ts';
import { type Drift, isDrift, type SyncReport } from './status.ts';

/** Where the loop gets its work; the model's tracker, seen by one family. */
export interface WorkSource {
  waitingFor(): string | undefined;
  hasWork(): boolean;
  take(): Promise<SyncInput>;
}

/** A sync or an audit that failed as a whole. */
export interface Failure {
  readonly what: 'sync' | 'audit';
  readonly message: string;
  /** The kernel had to be read first. */
  readonly full: boolean;
  readonly durationMs: number;
}

export interface LoopOptions {
  readonly name: string;
  readonly minIntervalMs: number;
  /** Between two audits; also the longest wait before a failed sync is tried again. */
  readonly syncPeriodMs: number;
  readonly log: Pick<BaseLogger, 'info' | 'warn' | 'error' | 'debug'>;
  readonly clock?: Clock;
  /** The next sync waits until it has ended. */
  readonly onSync?: (report: SyncReport) => void | Promise<void>;
  readonly onDrift?: (drift: Drift) => void;
  readonly onFailure?: (message: string, failure: Failure) => void;
  /** An audit that had failed was done, and no sync fails. */
  readonly onRecovery?: () => void;
  /** A change waits to be written. */
  readonly onQueued?: () => void;
  /** Hears of what others write to what is ours, where the kernel tells. */
  readonly watch?: ((onChange: () => void) => { stop(): void }) | undefined;
}

const FIRST_RETRY_MS = 200;
/** Least time between two audits that were asked for because somebody wrote to what is ours. */
const AUDIT_INTERVAL_MS = 250;
/**
 * Rest after an audit, as a multiple of the time that its read took. A tool that lists a large table takes long, and where tools run one at a
 * time a change waits for its end: iptables-nft-save takes 50 s for 150,000 endpoints (1.8.9).
 */
const AUDIT_RESTS = 9;
/** A drift's log line names so many objects and counts the rest. */
const NAMED = 5;

export class Loop<O extends KernelObject, B> {
  readonly #work: WorkSource;
  readonly #reconciler: Reconciler<O, B>;
  readonly #options: LoopOptions;
  readonly #clock: Clock;
  readonly #pacer: Pacer;
  /** On request, at the end of each sync period, and after a failed audit with a back-off of its own. */
  readonly #audits: Pacer;
  #watch: { stop(): void } | undefined;
  #failures = 0;
  #failedAudits = 0;
  /** Objects that others had changed, so far. */
  #repaired = 0;
  /** Taken from the tracker, not yet in the kernel: a failed sync loses nothing. */
  #unsynced = false;
  #lastNode: SyncInput | undefined;
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

  /** Something changed. */
  request(): void {
    if (this.#work.waitingFor() !== undefined || !this.#work.hasWork()) return;
    this.#options.onQueued?.();
    this.#pacer.request();
  }

  /** How many objects others had changed since the start, all repaired. */
  get repaired(): number {
    return this.#repaired;
  }

  /** Looks at the kernel now. Gives after how many milliseconds to look again unasked. */
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

  /** Ends after the write under way, if any; the kernel keeps what it has. */
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

  async #take(): Promise<SyncInput> {
    return this.#work.hasWork() || this.#lastNode === undefined ? this.#work.take() : onlyRetry(this.#lastNode);
  }

  async #tellSync(report: SyncReport): Promise<void> {
    // before the first sync nothing is ours to look after; after it nothing is to be missed, however long the rest of this takes
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

/** A sync in which nothing is new: what is outstanding is tried again. */
const onlyRetry = (last: SyncInput): SyncInput => ({ node: last.node, nodeChanged: false, services: [], gone: [] });
