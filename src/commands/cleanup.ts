/** Takes all rules of a mode out of the kernel, and says which. kube-proxy's go too: they have the same names. */
import { openBackends } from '../backends/index.ts';
import { removeAll } from '../dataplane/cleanup.ts';
import { backendOptions } from './backend-options.ts';
import type { Setup } from './setup.ts';

export const cleanup = async ({ config, log }: Setup, signal: AbortSignal): Promise<void> => {
  const { backends } = await openBackends(config.mode, backendOptions(config), signal);
  let left = 0;
  for (const [family, backend] of backends) {
    const result = await removeAll(backend, signal);
    for (const { id } of result.removed) process.stdout.write(`${family} ${id}\n`);
    for (const { id } of result.left) log.error({ ipFamily: family, object: id }, 'could not be removed');
    left += result.left.length;
  }
  if (left > 0) throw new Error(`${left} objects are left`);
};
