/**
 * One family's traffic: read from the kernel when somebody looks, and never more often than it bears. Nobody who looks waits
 * long: a reading that takes its time is shown to the next one. A reading that fails leaves the numbers as they were.
 */
import type { BaseLogger } from 'pino';
import type { Traffic } from '../../dataplane/contract.ts';
import { type Clock, systemClock } from '../../dataplane/pacer.ts';
import type { SyncReport } from '../../dataplane/status.ts';
import type { IPFamily } from '../../model/address.ts';
import type { ServicePortName } from '../../model/service.ts';
import { Places } from './places.ts';
import { type Sums, TrafficTotals } from './totals.ts';

/** Whom to ask. */
export interface TrafficSource {
  /** Undefined where nothing is counted. Throws KernelError. */
  traffic(): Promise<Traffic | undefined>;
  /** Whose a kernel object is. */
  ownerOf(id: string): string | undefined;
}

export interface FamilyTrafficOptions {
  readonly family: IPFamily;
  /** The most service ports that are shown. */
  readonly places: number;
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
  readonly clock?: Clock;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Between the beginnings of two readings at least. */
const INTERVAL_MS = 1_000;
/** No more than a tenth of the time is spent on readings: the iptables tools read a large table for seconds. */
const SHARE = 10;
/** A scrape is given up by who asks after some seconds. */
const PATIENCE_MS = 2_000;

export class FamilyTraffic {
  readonly family: IPFamily;
  readonly #options: FamilyTrafficOptions;
  readonly #clock: Clock;
  readonly #places: Places;
  readonly #totals = new TrafficTotals();
  #source: TrafficSource | undefined;
  #reading: Promise<void> | undefined;
  #nextAt = 0;
  #isSynced = false;
  #hasFailed = false;
  #readAt: number | undefined;

  constructor(options: FamilyTrafficOptions) {
    this.family = options.family;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#places = new Places(options.places);
  }

  /** Service ports without series of their own. */
  get omitted(): number {
    return this.#places.omitted;
  }

  /** When the last reading that succeeded began, in milliseconds since 1970; undefined before the first. */
  get readAt(): number | undefined {
    return this.#readAt;
  }

  /** The family begins its work. */
  begin(source: TrafficSource): void {
    this.#source = source;
  }

  /** Costs what the sync was about. The first one begins the count. */
  synced({ services, gone }: Pick<SyncReport, 'services' | 'gone'>): void {
    for (const owner of gone) {
      this.#places.remove(owner);
      this.#totals.forget(owner);
    }
    for (const { port } of services) this.#places.put(port.name);
    if (this.#isSynced) return;
    this.#isSynced = true;
    void this.#read();
  }

  /** Ends when the numbers are new enough, or when it takes too long. Never throws. */
  async refresh(): Promise<void> {
    const reading = this.#read();
    if (reading === undefined) return;
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = this.#clock.setTimeout(resolve, PATIENCE_MS);
    });
    await Promise.race([reading, late]);
    this.#clock.clearTimeout(timer);
  }

  /** Those that are shown, with what went through each. */
  *rows(): Generator<readonly [name: ServicePortName, sums: Sums]> {
    for (const [owner, name] of this.#places.shown) yield [name, this.#totals.of(owner)];
  }

  /** The reading under way, or a new one if it is time for one. */
  #read(): Promise<void> | undefined {
    const source = this.#source;
    if (this.#reading !== undefined || source === undefined) return this.#reading;
    const startedAt = this.#clock.now();
    // before the first sync there may be nothing to read, and looking would make it
    if (!this.#isSynced || startedAt < this.#nextAt) return undefined;
    this.#reading = this.#readFrom(source).finally(() => {
      this.#reading = undefined;
      this.#nextAt = startedAt + Math.max(INTERVAL_MS, SHARE * (this.#clock.now() - startedAt));
    });
    return this.#reading;
  }

  async #readFrom(source: TrafficSource): Promise<void> {
    const { now = Date.now } = this.#options;
    const at = now();
    try {
      const traffic = await source.traffic();
      if (traffic !== undefined) await this.#totals.take(traffic, (id) => this.#shownOwner(source.ownerOf(id)));
      this.#readAt = at;
      this.#tell(undefined);
    } catch (error) {
      this.#tell(error instanceof Error ? error.message : String(error));
    }
  }

  #shownOwner(owner: string | undefined): string | undefined {
    return owner !== undefined && this.#places.shown.has(owner) ? owner : undefined;
  }

  /** Once, however often it fails. */
  #tell(error: string | undefined): void {
    const { family: ipFamily, log } = this.#options;
    if (error !== undefined && !this.#hasFailed) {
      log.warn({ ipFamily, error }, 'traffic of Services cannot be read, its metrics stay as they are');
    }
    if (error === undefined && this.#hasFailed) log.info({ ipFamily }, 'traffic of Services can be read again');
    this.#hasFailed = error !== undefined;
  }
}
