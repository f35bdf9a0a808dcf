/**
 * What another mode left on this node, ours or kube-proxy's: taken away once this mode serves, so that nothing is unserved in
 * between. A connection that is tracked goes on as it was translated, whoever's rules did it.
 *
 * Modes iptables and ipvs share their chains, and what one finds of the other there goes with its own first sync. Virtual
 * servers are left: connections run through them, so to take them away is for the operator to say.
 */
import { networkInterfaces } from 'node:os';
import { type Opened, openBackends } from '../backends/index.ts';
import type { ProxyMode } from '../config/config.ts';
import { removeAll } from '../dataplane/cleanup.ts';
import type { IPFamily } from '../model/address.ts';
import { backendOptions } from './backend-options.ts';
import type { NodeEvents } from './events.ts';
import type { Setup } from './setup.ts';

const SERVICE_LINK = 'kube-ipvs0';

/** Modes whose rules are of no use any more once this one serves. */
const OTHERS: Readonly<Record<ProxyMode, readonly ProxyMode[]>> = {
  iptables: ['nftables'],
  ipvs: ['nftables'],
  nftables: ['iptables'],
};

export const removeLeftovers = async (setup: Setup, events: NodeEvents, signal: AbortSignal): Promise<void> => {
  const { config, log } = setup;
  for (const mode of OTHERS[config.mode]) {
    try {
      const opened = await openBackends(mode, backendOptions(config), signal);
      try {
        for (const { ipFamily, removed } of await removeFrom(opened, mode, log, signal)) {
          events.modeChanged(mode, ipFamily, removed);
        }
      } finally {
        opened.close();
      }
    } catch (error) {
      if (signal.aborted) return;
      // mostly a host that cannot do the mode, and has nothing of it; without the right to look there may be something
      const reason = error instanceof Error ? error.message : String(error);
      log.info({ mode, reason }, 'no rules of another mode can be looked for');
    }
  }
  if (config.mode !== 'ipvs' && networkInterfaces()[SERVICE_LINK] !== undefined) {
    log.warn(`mode ipvs left ${SERVICE_LINK}: "pointsman cleanup --proxy-mode=ipvs" takes its virtual servers away`);
  }
};

interface Removed {
  readonly ipFamily: IPFamily;
  readonly removed: number;
}

/** What it took away, by family; nothing where there was nothing. */
const removeFrom = async (
  { backends }: Opened,
  mode: ProxyMode,
  log: Setup['log'],
  signal: AbortSignal,
): Promise<readonly Removed[]> => {
  const all: Removed[] = [];
  for (const [ipFamily, backend] of backends) {
    const { removed, left } = await removeAll(backend, signal);
    if (removed.length + left.length === 0) continue;
    log.info({ ipFamily, mode, removed: removed.length, left: left.length }, 'rules of another mode removed');
    all.push({ ipFamily, removed: removed.length });
  }
  return all;
};

/** Calls `done` once all of these have said so. */
export const onceAll = <T>(names: Iterable<T>, done: () => void): ((name: T) => void) => {
  const waiting = new Set(names);
  return (name) => {
    if (waiting.delete(name) && waiting.size === 0) done();
  };
};
