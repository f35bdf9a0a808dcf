/**
 * Health of the proxy. A family is unhealthy when a change has waited too long for its write (kube-proxy's rule), or when
 * syncs have failed for as long. kube-proxy calls a node healthy whose rules cannot be written while nothing changes.
 *
 * Families without changes stay healthy.
 */
import { IP_FAMILIES, type IPFamily } from '../model/address.ts';

export interface FamilyHealth {
  readonly healthy: boolean;
  /** Time of the last sync that succeeded, or of the family's begin, milliseconds since 1970. */
  readonly updatedAt: number;
}

export interface Health {
  /** True when all families are healthy. */
  readonly healthy: boolean;
  /** Latest of all families; undefined before any began. */
  readonly updatedAt: number | undefined;
  readonly families: ReadonlyMap<IPFamily, FamilyHealth>;
}

/** Times by the monotonic clock, but for `updatedAt`. */
interface FamilyTimes {
  /** Milliseconds since 1970. */
  updatedAt: number | undefined;
  /** Oldest change that no sync has taken up. */
  queuedAt: number | undefined;
  /** Oldest change that a sync has taken up and that is not in the kernel. */
  takenAt: number | undefined;
  /** First of the failures since the last success. */
  failingSince: number | undefined;
}

/** Sync periods that a change may wait. */
const PERIODS = 2;

export class HealthState {
  readonly #patienceMs: number;
  readonly #now: () => number;
  readonly #clock: () => number;
  readonly #times = new Map<IPFamily, FamilyTimes>();

  /** `now`: milliseconds since 1970, for pages; `clock`: milliseconds of a monotonic clock, for verdicts. */
  constructor(syncPeriodMs: number, now: () => number, clock: () => number) {
    this.#patienceMs = PERIODS * syncPeriodMs;
    this.#now = now;
    this.#clock = clock;
  }

  /** Notes a change that waits for a sync. */
  queued(family: IPFamily): void {
    this.#of(family).queuedAt ??= this.#clock();
  }

  /** Notes a sync that took up all queued changes. */
  taken(family: IPFamily): void {
    const times = this.#of(family);
    times.takenAt ??= times.queuedAt;
    times.queuedAt = undefined;
  }

  /** Notes the family's begin, or a sync that succeeded. */
  updated(family: IPFamily): void {
    const times = this.#of(family);
    times.updatedAt = this.#now();
    times.takenAt = undefined;
    times.failingSince = undefined;
  }

  failed(family: IPFamily): void {
    this.#of(family).failingSince ??= this.#clock();
  }

  /** Notes an audit that succeeded after one that failed; changes that were taken up still wait. */
  recovered(family: IPFamily): void {
    this.#of(family).failingSince = undefined;
  }

  isHealthy(): boolean {
    return [...this.#times.values()].every((times) => this.#isFine(times));
  }

  snapshot(): Health {
    const families = new Map<IPFamily, FamilyHealth>();
    for (const family of IP_FAMILIES) {
      const times = this.#times.get(family);
      if (times?.updatedAt !== undefined) {
        families.set(family, { healthy: this.#isFine(times), updatedAt: times.updatedAt });
      }
    }
    const updates = [...families.values()].map(({ updatedAt }) => updatedAt);
    return { healthy: this.isHealthy(), updatedAt: updates.length === 0 ? undefined : Math.max(...updates), families };
  }

  #of(family: IPFamily): FamilyTimes {
    const known = this.#times.get(family);
    if (known !== undefined) return known;
    const times = { updatedAt: undefined, queuedAt: undefined, takenAt: undefined, failingSince: undefined };
    this.#times.set(family, times);
    return times;
  }

  /** True for a family that has not begun, as in kube-proxy. */
  #isFine({ updatedAt, queuedAt, takenAt, failingSince }: FamilyTimes): boolean {
    if (updatedAt === undefined) return true;
    const since = Math.min(...[queuedAt, takenAt, failingSince].flatMap((at) => at ?? []));
    return this.#clock() - since < this.#patienceMs;
  }
}
