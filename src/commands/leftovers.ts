/**
 * Leftovers of another mode on this node, ours or kube-proxy's: removed once this mode serves, so that no Service is unserved in
 * between. A connection that is tracked goes on as it was translated, whoever's rules did it; one that runs through objects
 * of a mode that drains is waited for.
 *
 * Of modes whose rules stand in the same place, what one finds of the other there goes with its own first sync.
 */
import { openBackends, openDeparture, PROFILES } from '../backends/index.ts';
import type { Opened } from '../backends/mode.ts';
import { nodeOptions } from '../config/node-options.ts';
import { removeAll } from '../dataplane/cleanup.ts';
import { depart } from '../dataplane/departure.ts';
import type { IPFamily } from '../model/address.ts';
import type { NodeEvents } from './events.ts';
import type { Setup } from './setup.ts';

/** How many objects of a family are gone; none where there was nothing. */
type Removed = ReadonlyMap<IPFamily, number>;

/** Ends when nothing is left, or with `signal`; what cannot be removed is logged. */
export const removeLeftovers = async (setup: Setup, events: NodeEvents, signal: AbortSignal): Promise<void> => {
  const attempt = async (mode: string, run: () => Promise<Removed>): Promise<void> => {
    try {
      for (const [ipFamily, removed] of await run()) events.modeChanged(mode, ipFamily, removed);
    } catch (error) {
      if (signal.aborted) return;
      // mostly a host that cannot do the mode, and has nothing of it; without the right to look there may be something
      const reason = error instanceof Error ? error.message : String(error);
      setup.log.info({ mode, reason }, 'no rules of another mode can be looked for');
    }
  };
  const own = setup.config.profile;
  const others = PROFILES.filter(({ mode }) => mode !== own.mode);
  const useless = others.filter(({ leaving }) => !leaving.drains && leaving.place !== own.leaving.place);
  for (const { mode } of useless) await attempt(mode, () => removeRules(setup, mode, signal));
  const draining = others.filter(({ leaving }) => leaving.drains);
  for (const { mode } of draining) await attempt(mode, () => leave(setup, mode, signal));
};

const removeRules = async (setup: Setup, mode: string, signal: AbortSignal): Promise<Removed> => {
  const opened = await openBackends(mode, setup, signal);
  try {
    return await removeFrom(opened, mode, setup.log, signal);
  } finally {
    opened.close();
  }
};

const removeFrom = async (
  { backends }: Opened,
  mode: string,
  log: Setup['log'],
  signal: AbortSignal,
): Promise<Removed> => {
  const all = new Map<IPFamily, number>();
  for (const [ipFamily, backend] of backends) {
    const { removed, left } = await removeAll(backend, signal);
    if (removed.length + left.length === 0) continue;
    log.info({ ipFamily, mode, removed: removed.length, left: left.length }, 'rules of another mode removed');
    all.set(ipFamily, removed.length);
  }
  return all;
};

const leave = async ({ config, nodeName, log }: Setup, mode: string, signal: AbortSignal): Promise<Removed> => {
  const mark = 2 ** nodeOptions(config, nodeName).masqueradeBit;
  const departure = await openDeparture(mode, { config }, mark);
  if (departure === undefined) return new Map();
  try {
    const removed = await depart(departure.backends, { signal, log });
    return new Map([...removed].filter(([, count]) => count > 0 && !signal.aborted));
  } finally {
    departure.close();
  }
};

/** Calls `done` once all of these have said so. */
export const onceAll = <T>(names: Iterable<T>, done: () => void): ((name: T) => void) => {
  const waiting = new Set(names);
  return (name) => {
    if (waiting.delete(name) && waiting.size === 0) done();
  };
};
