/**
 * What another mode left on this node, ours or kube-proxy's: taken away once this mode serves, so that nothing is unserved in
 * between. A connection that is tracked goes on as it was translated, whoever's rules did it; one that runs through a
 * virtual server of mode ipvs is waited for.
 *
 * Modes iptables and ipvs share their chains, and what one finds of the other there goes with its own first sync.
 */
import { type Opened, openBackends, openDeparture } from '../backends/index.ts';
import type { ProxyMode } from '../config/config.ts';
import { nodeOptions } from '../config/node-options.ts';
import { removeAll } from '../dataplane/cleanup.ts';
import { depart } from '../dataplane/departure.ts';
import type { IPFamily } from '../model/address.ts';
import { backendOptions } from './backend-options.ts';
import type { NodeEvents } from './events.ts';
import type { Setup } from './setup.ts';

/** Modes whose rules are of no use any more once this one serves. */
const OTHERS: Readonly<Record<ProxyMode, readonly ProxyMode[]>> = {
  iptables: ['nftables'],
  ipvs: ['nftables'],
  nftables: ['iptables'],
};

/** How many objects of a family are gone; none where there was nothing. */
type Removed = ReadonlyMap<IPFamily, number>;

/** Ends when nothing is left, or with `signal`; what cannot be removed is logged. */
export const removeLeftovers = async (setup: Setup, events: NodeEvents, signal: AbortSignal): Promise<void> => {
  const attempt = async (mode: ProxyMode, run: () => Promise<Removed>): Promise<void> => {
    try {
      for (const [ipFamily, removed] of await run()) events.modeChanged(mode, ipFamily, removed);
    } catch (error) {
      if (signal.aborted) return;
      // mostly a host that cannot do the mode, and has nothing of it; without the right to look there may be something
      const reason = error instanceof Error ? error.message : String(error);
      setup.log.info({ mode, reason }, 'no rules of another mode can be looked for');
    }
  };
  const { mode: own } = setup.config;
  for (const mode of OTHERS[own]) await attempt(mode, () => removeRules(setup, mode, signal));
  if (own !== 'ipvs') await attempt('ipvs', () => leave(setup, 'ipvs', signal));
};

const removeRules = async (setup: Setup, mode: ProxyMode, signal: AbortSignal): Promise<Removed> => {
  const opened = await openBackends(mode, backendOptions(setup.config), signal);
  try {
    return await removeFrom(opened, mode, setup.log, signal);
  } finally {
    opened.close();
  }
};

const removeFrom = async (
  { backends }: Opened,
  mode: ProxyMode,
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

const leave = async ({ config, nodeName, log }: Setup, mode: ProxyMode, signal: AbortSignal): Promise<Removed> => {
  const mark = 2 ** nodeOptions(config, nodeName).masqueradeBit;
  const departure = await openDeparture(mode, backendOptions(config), mark);
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
