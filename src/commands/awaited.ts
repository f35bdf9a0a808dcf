/**
 * Awaited lists and facts: the log says for how long, and Events name those that the proxy goes on without.
 */
import type { Missing } from '../model/missing.ts';
import type { Tracker } from '../model/tracker.ts';
import type { NodeEvents } from './events.ts';
import type { Setup } from './setup.ts';

export interface AwaitedTiming {
  /** While something is awaited, the log says what, so often, and for the first time so late. */
  readonly sayMs: number;
  readonly firstSayMs: number;
  /** So long is waited for what rules can be made without. */
  readonly patienceMs: number;
  /** Wait before a missing part is reported. */
  readonly graceMs: number;
  readonly lookMs: number;
}

const TIMING: AwaitedTiming = { sayMs: 30_000, firstSayMs: 5_000, patienceMs: 30_000, graceMs: 4_000, lookMs: 1_000 };

export interface AwaitedParts {
  readonly tracker: Pick<Tracker, 'waitingFor' | 'goOn'>;
  readonly missing: () => readonly Missing[];
  readonly log: Pick<Setup['log'], 'info' | 'warn'>;
  readonly events: Pick<NodeEvents, 'missing'>;
  readonly timing?: AwaitedTiming;
}

/** Looks until stopped. */
export const watchAwaited = (parts: AwaitedParts): { stop(): void } => {
  const timing = parts.timing ?? TIMING;
  const waiting = new Waiting(parts, timing);
  const lacking = new Lacking(parts, timing);
  const look = (): void => {
    const now = performance.now();
    waiting.look(now);
    lacking.look(now);
  };
  const timer = setInterval(look, timing.lookMs);
  return { stop: () => clearInterval(timer) };
};

/** Nothing is written as long as something is waited for. */
class Waiting {
  readonly #parts: AwaitedParts;
  readonly #timing: AwaitedTiming;
  readonly #startedAt = performance.now();
  #sayAt: number;
  /** The lists are here, and something of the Node is not. */
  #withoutFactsSince: number | undefined;

  constructor(parts: AwaitedParts, timing: AwaitedTiming) {
    this.#parts = parts;
    this.#timing = timing;
    this.#sayAt = this.#startedAt + timing.firstSayMs;
  }

  look(now: number): void {
    const { tracker, log } = this.#parts;
    const { sayMs, firstSayMs, patienceMs } = this.#timing;
    const awaited = tracker.waitingFor();
    if (awaited === undefined) {
      this.#sayAt = now + firstSayMs;
      this.#withoutFactsSince = undefined;
      return;
    }
    if (now >= this.#sayAt) {
      log.warn(`no rule is changed yet: waiting for ${awaited}`);
      this.#sayAt = now + sayMs;
    }
    // lists are waited for all the same
    this.#withoutFactsSince ??= now;
    if (now - this.#withoutFactsSince >= patienceMs) tracker.goOn();
  }
}

/** Each thing that is missing and should not be is told once, and told to be here when it is. */
class Lacking {
  readonly #parts: AwaitedParts;
  readonly #timing: AwaitedTiming;
  /** By missing part: since when, and whether it was reported. */
  readonly #known = new Map<string, { readonly since: number; isTold: boolean }>();

  constructor(parts: AwaitedParts, timing: AwaitedTiming) {
    this.#parts = parts;
    this.#timing = timing;
  }

  look(now: number): void {
    const missing = this.#parts.missing();
    const whats = new Set(missing.map(({ what }) => what));
    for (const [what, { isTold }] of this.#known) {
      if (whats.has(what)) continue;
      this.#known.delete(what);
      if (isTold) this.#parts.log.info({ what }, 'not missing any more');
    }
    for (const one of missing) this.#see(one, now);
  }

  #see(one: Missing, now: number): void {
    const known = this.#known.get(one.what) ?? { since: now, isTold: false };
    this.#known.set(one.what, known);
    // those who found out said so in the log
    if (known.isTold || one.isExpected === true || now - known.since < this.#timing.graceMs) return;
    known.isTold = true;
    this.#parts.log.warn({ what: one.what, why: one.why }, 'something is missing, going on without it');
    this.#parts.events.missing(one);
  }
}
