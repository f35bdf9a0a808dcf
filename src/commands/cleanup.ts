/** Takes all rules of the asked modes out of the kernel, and says which. kube-proxy's go too: they have the same names. */
import { existsSync } from 'node:fs';
import { type Opened, openBackends } from '../backends/index.ts';
import type { ProxyMode } from '../config/config.ts';
import { removeAll } from '../dataplane/cleanup.ts';
import type { IPFamily } from '../model/address.ts';
import { backendOptions } from './backend-options.ts';
import type { Setup } from './setup.ts';

/** There while the kernel has IPVS: to look for leftovers nobody needs to load it. */
const IPVS_IS_LOADED = '/proc/net/ip_vs';

const say = (family: IPFamily, { removed }: { readonly removed: readonly { readonly id: string }[] }): void => {
  for (const { id } of removed) process.stdout.write(`${family} ${id}\n`);
};

/** Of several modes those that this host cannot do have left nothing; of one alone it is an error. */
export const cleanup = async (setup: Setup, modes: readonly ProxyMode[], signal: AbortSignal): Promise<void> => {
  let left = 0;
  for (const mode of modes) {
    if (modes.length > 1 && mode === 'ipvs' && !existsSync(IPVS_IS_LOADED)) continue;
    try {
      left += await cleanMode(setup, await openBackends(mode, backendOptions(setup.config), signal), signal);
    } catch (error) {
      if (modes.length === 1) throw error;
      setup.log.warn(
        { mode, error: error instanceof Error ? error.message : String(error) },
        'nothing can be looked for',
      );
    }
  }
  if (left > 0) throw new Error(`${left} objects are left`);
};

/** Gives how many objects could not be removed. */
const cleanMode = async ({ log }: Setup, { backends }: Opened, signal: AbortSignal): Promise<number> => {
  // what both families use goes with the last one: so the first is looked at once more
  for (const [family, backend] of backends) say(family, await removeAll(backend, signal));
  let count = 0;
  for (const [family, backend] of backends) {
    const result = await removeAll(backend, signal);
    say(family, result);
    for (const { id } of result.left) log.error({ ipFamily: family, object: id }, 'could not be removed');
    count += result.left.length;
  }
  return count;
};
