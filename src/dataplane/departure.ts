/**
 * Leaving a mode through which connections still run: objects without connections are removed at once, the others as their
 * connections end. The state is in the kernel alone, so a stop in between loses nothing.
 */
import type { BaseLogger } from 'pino';
import { removeAll } from './cleanup.ts';
import { type Departing, KernelError, type KernelObject } from './contract.ts';
import { pause } from './pause.ts';

export interface DepartureOptions {
  readonly signal: AbortSignal;
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
  /** Milliseconds between two reads; more where a read takes long. */
  readonly pauses?: { readonly firstMs: number; readonly laterMs: number };
}

/** Most of the connections awaited at first end within seconds. */
const PAUSES = { firstMs: 1_000, laterMs: 5_000 } as const;
const FIRST_PASSES = 5;
/** Reads take at most 1/SHARE of the time. */
const SHARE = 5;
const SAY_MS = 60_000;

type AnyDeparting = Departing<KernelObject, unknown>;

interface Pass {
  readonly removed: number;
  readonly left: number;
  readonly awaited: number;
}

/**
 * Leaves a mode: ends when nothing is left, when the rest cannot be removed, or on abort. Returns the number of objects
 * removed, by family. Throws what is no KernelError.
 */
export const depart = async <F>(
  backends: ReadonlyMap<F, AnyDeparting>,
  options: DepartureOptions,
): Promise<ReadonlyMap<F, number>> => {
  const { signal, pauses: { firstMs, laterMs } = PAUSES } = options;
  const drainLog = new DrainLog(options.log, [...backends.values()][0]?.mode);
  const removed = new Map<F, number>();
  for (let passes = 0; !signal.aborted; passes += 1) {
    const startedAt = performance.now();
    const pass = await attempt(() => passOver(backends, removed, signal), drainLog, signal);
    if (pass !== undefined && drainLog.isOver(pass)) break;
    await pause(Math.max(passes < FIRST_PASSES ? firstMs : laterMs, SHARE * (performance.now() - startedAt)), signal);
  }
  return removed;
};

/** One pass; undefined after an error that a later pass may not meet: a lock held by others, an abort. */
const attempt = async (
  run: () => Promise<Pass>,
  drainLog: DrainLog,
  signal: AbortSignal,
): Promise<Pass | undefined> => {
  try {
    return await run();
  } catch (error) {
    if (signal.aborted) return undefined;
    if (!(error instanceof KernelError)) throw error;
    drainLog.fail(error);
    return undefined;
  }
};

/** Passes over the families one by one: objects that both share are removed with the last one. */
const passOver = async <F>(
  backends: ReadonlyMap<F, AnyDeparting>,
  sums: Map<F, number>,
  signal: AbortSignal,
): Promise<Pass> => {
  const pass = { removed: 0, left: 0, awaited: 0 };
  for (const [family, backend] of backends) {
    const { removed, left } = await removeAll(backend, signal);
    if (backend.awaited > 0) await backend.shield(signal);
    sums.set(family, (sums.get(family) ?? 0) + removed.length);
    pass.removed += removed.length;
    pass.left += left.length;
    pass.awaited += backend.awaited;
  }
  return pass;
};

/** Log lines: the first wait and then one a minute, each failure once, and the end. */
class DrainLog {
  readonly #log: DepartureOptions['log'];
  readonly #mode: string | undefined;
  #removed = 0;
  #saidAt = Number.NEGATIVE_INFINITY;
  #failure = '';

  constructor(log: DepartureOptions['log'], mode: string | undefined) {
    this.#log = log;
    this.#mode = mode;
  }

  isOver({ removed, left, awaited }: Pass): boolean {
    const mode = this.#mode;
    this.#failure = '';
    this.#removed += removed;
    if (awaited > 0) this.#await(awaited);
    else if (left === 0 && this.#removed > 0)
      this.#log.info({ mode, removed: this.#removed }, 'nothing is left of another mode');
    else if (left > 0 && removed === 0) this.#log.warn({ mode, left }, 'what another mode left cannot be removed');
    return awaited === 0 && (left === 0 || removed === 0);
  }

  #await(connections: number): void {
    if (performance.now() - this.#saidAt < SAY_MS) return;
    this.#saidAt = performance.now();
    this.#log.info({ mode: this.#mode, connections }, 'what another mode left goes as its connections end');
  }

  fail({ message }: Error): void {
    if (message === this.#failure) return;
    this.#failure = message;
    this.#log.warn({ mode: this.#mode, error: message }, 'what another mode left cannot be removed yet');
  }
}
