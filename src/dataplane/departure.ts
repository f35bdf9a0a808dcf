/**
 * Leaving a mode through which connections still run: what nobody needs goes at once, the rest as they end. Whoever stops
 * in between loses nothing, as all of it is in the kernel.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { BaseLogger } from 'pino';
import { removeAll } from './cleanup.ts';
import { type Departing, KernelError, type KernelObject } from './contract.ts';

export interface DepartureOptions {
  readonly signal: AbortSignal;
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
  /** Milliseconds between two looks; more where a look takes long. */
  readonly lookMs?: number;
}

/** The first look comes while the last packets of connections that have just ended are under way. */
const LOOK_MS = 4_000;
/** Looking is not to take more of the time than one part in so many. */
const SHARE = 20;
const SAY_MS = 60_000;

interface Pass {
  readonly removed: number;
  readonly left: number;
  readonly awaited: number;
}

const NOTHING: Pass = { removed: 0, left: 0, awaited: 0 };

type AnyDeparting = Departing<KernelObject, unknown>;

/** Ends when nothing is left, when what is left cannot be removed, or when told to stop. */
export const depart = async (backends: readonly AnyDeparting[], options: DepartureOptions): Promise<void> => {
  const { signal, log, lookMs = LOOK_MS } = options;
  const mode = backends[0]?.mode;
  const teller = new Teller(log, mode);
  for (let removed = 0; !signal.aborted; ) {
    const startedAt = performance.now();
    try {
      const pass = await passOver(backends, signal);
      removed += pass.removed;
      if (pass.awaited > 0) teller.await(pass.awaited);
      else if (pass.left === 0)
        return removed > 0 ? log.info({ mode, removed }, 'nothing is left of another mode') : undefined;
      else if (pass.removed === 0)
        return log.warn({ mode, left: pass.left }, 'what another mode left cannot be removed');
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof KernelError)) throw error;
      teller.fail(error);
    }
    await pause(Math.max(lookMs, SHARE * (performance.now() - startedAt)), undefined, { signal }).catch(
      () => undefined,
    );
  }
};

/** Both families, as what they share goes with the last one. */
const passOver = async (backends: readonly AnyDeparting[], signal: AbortSignal): Promise<Pass> => {
  let sum = NOTHING;
  for (const backend of backends) {
    const { removed, left } = await removeAll(backend, signal);
    if (backend.awaited > 0) await backend.shield(signal);
    sum = {
      removed: sum.removed + removed.length,
      left: sum.left + left.length,
      awaited: sum.awaited + backend.awaited,
    };
  }
  return sum;
};

class Teller {
  readonly #log: DepartureOptions['log'];
  readonly #mode: string | undefined;
  #saidAt = Number.NEGATIVE_INFINITY;
  #failure = '';

  constructor(log: DepartureOptions['log'], mode: string | undefined) {
    this.#log = log;
    this.#mode = mode;
  }

  await(connections: number): void {
    this.#failure = '';
    if (performance.now() - this.#saidAt < SAY_MS) return;
    this.#saidAt = performance.now();
    this.#log.info({ mode: this.#mode, connections }, 'what another mode left goes as connections through it end');
  }

  /** Once for each reason. */
  fail({ message }: Error): void {
    if (message === this.#failure) return;
    this.#failure = message;
    this.#log.warn({ mode: this.#mode, error: message }, 'what another mode left cannot be removed yet');
  }
}
