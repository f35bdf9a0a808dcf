/**
 * Traffic of one family, read from the kernel at a scrape, with bounds on how often. A scrape waits for a read up to
 * PATIENCE_MS; a longer read is shown at the next scrape. A read that fails leaves the numbers as they were.
 */
import type { BaseLogger } from 'pino';
import { type Clock, systemClock } from '../../dataplane/clock.ts';
import type { ObjectTraffic } from '../../dataplane/contract.ts';
import type { SyncReport } from '../../dataplane/status.ts';
import type { IPFamily } from '../../model/address.ts';
import type { ServicePortName } from '../../model/service.ts';
import { ShownPorts } from './shown-ports.ts';
import { type Sums, TrafficTotals } from './totals.ts';

/** Part of the engine that reads traffic. */
export interface TrafficSource {
  /** Counts of the kernel; undefined where it counts nothing. Throws KernelError. */
  traffic(): Promise<ObjectTraffic | undefined>;
  /** Owner of a kernel object. */
  ownerOf(id: string): string | undefined;
}

export interface FamilyTrafficOptions {
  readonly family: IPFamily;
  /** Most service ports that are shown. */
  readonly places: number;
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
  readonly clock?: Clock;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Least time between the begins of two reads. */
const INTERVAL_MS = 1_000;
/** Reads take at most a tenth of the time: the iptables tools read a large table for seconds. */
const SHARE = 10;
/** Longest wait of a scrape for a read: scrapers time out after some seconds. */
const PATIENCE_MS = 2_000;

export class FamilyTraffic {
  readonly family: IPFamily;
  readonly #options: FamilyTrafficOptions;
  readonly #clock: Clock;
  readonly #shownPorts: ShownPorts;
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
    this.#shownPorts = new ShownPorts(options.places);
  }

  /** Service ports without series of their own. */
  get omitted(): number {
    return this.#shownPorts.omitted;
  }

  /** Begin of the last read that succeeded, milliseconds since 1970; undefined before the first. */
  get readAt(): number | undefined {
    return this.#readAt;
  }

  /** Begins to read from this engine. */
  begin(source: TrafficSource): void {
    this.#source = source;
  }

  /** Notes a sync. Costs its Services. The first one begins the count. */
  synced({ services, gone }: Pick<SyncReport, 'services' | 'gone'>): void {
    for (const owner of gone) {
      this.#shownPorts.remove(owner);
      this.#totals.forget(owner);
    }
    for (const { port } of services) this.#shownPorts.put(port.name);
    if (this.#isSynced) return;
    this.#isSynced = true;
    void this.#read();
  }

  /** Reads traffic unless it is new enough; ends with the read, or after PATIENCE_MS. Never throws. */
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

  /** Service ports that are shown, with their sums. */
  *rows(): Generator<readonly [name: ServicePortName, sums: Sums]> {
    for (const [owner, name] of this.#shownPorts.shown) yield [name, this.#totals.of(owner)];
  }

  /** Read under way, or a new one if it is due. */
  #read(): Promise<void> | undefined {
    const source = this.#source;
    if (this.#reading !== undefined || source === undefined) return this.#reading;
    const startedAt = this.#clock.now();
    // before the first sync the kernel may have nothing to read, and a read may create it
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
    return owner !== undefined && this.#shownPorts.shown.has(owner) ? owner : undefined;
  }

  /** Logs the first of several failures, and the first success after them. */
  #tell(error: string | undefined): void {
    const { family: ipFamily, log } = this.#options;
    if (error !== undefined && !this.#hasFailed) {
      log.warn({ ipFamily, error }, 'traffic of Services cannot be read, its metrics stay as they are');
    }
    if (error === undefined && this.#hasFailed) log.info({ ipFamily }, 'traffic of Services can be read again');
    this.#hasFailed = error !== undefined;
  }
}
