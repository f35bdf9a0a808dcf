/** Takes all rules of a mode out of the kernel, and says which. kube-proxy's go too: they have the same names. */
import { openBackends } from '../backends/index.ts';
import { removeAll } from '../dataplane/cleanup.ts';
import type { IPFamily } from '../model/address.ts';
import { backendOptions } from './backend-options.ts';
import type { Setup } from './setup.ts';

const say = (family: IPFamily, { removed }: { readonly removed: readonly { readonly id: string }[] }): void => {
  for (const { id } of removed) process.stdout.write(`${family} ${id}\n`);
};

export const cleanup = async ({ config, log }: Setup, signal: AbortSignal): Promise<void> => {
  const { backends } = await openBackends(config.mode, backendOptions(config), signal);
  // what both families use goes with the last one: so the first is looked at once more
  for (const [family, backend] of backends) say(family, await removeAll(backend, signal));
  let count = 0;
  for (const [family, backend] of backends) {
    const result = await removeAll(backend, signal);
    say(family, result);
    for (const { id } of result.left) log.error({ ipFamily: family, object: id }, 'could not be removed');
    count += result.left.length;
  }
  if (count > 0) throw new Error(`${count} objects are left`);
};
