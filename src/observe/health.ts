/**
 * Whether the proxy does its work: kube-proxy's rule, and one more.
 *
 * A family is unhealthy when a change has waited for too long to get into the kernel. In kube-proxy that is all, so that
 * a node whose rules cannot be written is called healthy for as long as nothing changes; here syncs that keep failing for
 * as long say so too. No news is good news: a quiet cluster is healthy for ever.
 */
import { IP_FAMILIES, type IPFamily } from '../model/address.ts';

export interface FamilyHealth {
  readonly healthy: boolean;
  /** When the kernel was last as wanted, or the family began: milliseconds since 1970. */
  readonly updatedAt: number;
}

export interface Health {
  /** All families are. */
  readonly healthy: boolean;
  /** The latest of all; undefined before any family began. */
  readonly updatedAt: number | undefined;
  readonly families: ReadonlyMap<IPFamily, FamilyHealth>;
}

/** By the clock that nobody sets, but for `updatedAt`. */
interface Marks {
  /** Milliseconds since 1970. */
  updatedAt: number | undefined;
  /** The oldest change that nobody has taken up yet. */
  queuedAt: number | undefined;
  /** The oldest change that was taken up and is not in the kernel yet. */
  takenAt: number | undefined;
  /** Since when each sync fails. */
  failingSince: number | undefined;
}

/** So many sync periods may a change wait. */
const PERIODS = 2;

export class HealthState {
  readonly #patienceMs: number;
  readonly #now: () => number;
  readonly #clock: () => number;
  readonly #marks = new Map<IPFamily, Marks>();

  /** `now`: milliseconds since 1970, for what is shown; `clock`: milliseconds of one that nobody sets, for verdicts. */
  constructor(syncPeriodMs: number, now: () => number, clock: () => number) {
    this.#patienceMs = PERIODS * syncPeriodMs;
    this.#now = now;
    this.#clock = clock;
  }

  /** A change waits to be taken up. */
  queued(family: IPFamily): void {
    this.#of(family).queuedAt ??= this.#clock();
  }

  /** A sync took up what was queued: what is queued from now on is another one's business. */
  taken(family: IPFamily): void {
    const marks = this.#of(family);
    marks.takenAt ??= marks.queuedAt;
    marks.queuedAt = undefined;
  }

  /** The family begins, or what was taken up is in the kernel. */
  updated(family: IPFamily): void {
    const marks = this.#of(family);
    marks.updatedAt = this.#now();
    marks.takenAt = undefined;
    marks.failingSince = undefined;
  }

  failed(family: IPFamily): void {
    this.#of(family).failingSince ??= this.#clock();
  }

  /** What failed was done by the same kind of work; what was taken up is still to come. */
  recovered(family: IPFamily): void {
    this.#of(family).failingSince = undefined;
  }

  isHealthy(): boolean {
    return [...this.#marks.values()].every((marks) => this.#isFine(marks));
  }

  look(): Health {
    const families = new Map<IPFamily, FamilyHealth>();
    for (const family of IP_FAMILIES) {
      const marks = this.#marks.get(family);
      if (marks?.updatedAt !== undefined) {
        families.set(family, { healthy: this.#isFine(marks), updatedAt: marks.updatedAt });
      }
    }
    const times = [...families.values()].map(({ updatedAt }) => updatedAt);
    return { healthy: this.isHealthy(), updatedAt: times.length === 0 ? undefined : Math.max(...times), families };
  }

  #of(family: IPFamily): Marks {
    const known = this.#marks.get(family);
    if (known !== undefined) return known;
    const marks = { updatedAt: undefined, queuedAt: undefined, takenAt: undefined, failingSince: undefined };
    this.#marks.set(family, marks);
    return marks;
  }

  /** One that never began is not judged, as in kube-proxy. */
  #isFine({ updatedAt, queuedAt, takenAt, failingSince }: Marks): boolean {
    if (updatedAt === undefined) return true;
    const since = Math.min(...[queuedAt, takenAt, failingSince].flatMap((at) => at ?? []));
    return this.#clock() - since < this.#patienceMs;
  }
}
