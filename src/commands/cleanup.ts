/** Takes our rules of the asked modes out of the kernel, and says which; kube-proxy's, that have the same names, if asked to. */
import { existsSync } from 'node:fs';
import { openBackends } from '../backends/index.ts';
import type { Opened } from '../backends/mode.ts';
import { removeAll, type Whose } from '../dataplane/cleanup.ts';
import type { IPFamily } from '../model/address.ts';
import type { ModeProfile } from '../model/mode-profile.ts';
import type { Setup } from './setup.ts';

const say = (family: IPFamily, { removed }: { readonly removed: readonly { readonly id: string }[] }): void => {
  for (const { id } of removed) process.stdout.write(`${family} ${id}\n`);
};

export interface CleanupOptions {
  readonly modes: readonly ModeProfile[];
  readonly whose: Whose;
}

/** Of several modes those that this host cannot do have left nothing; of one alone it is an error. */
export const cleanup = async (setup: Setup, options: CleanupOptions, signal: AbortSignal): Promise<void> => {
  const { modes, whose } = options;
  let left = 0;
  for (const { mode, leaving } of modes) {
    if (modes.length > 1 && leaving.presentWith !== undefined && !existsSync(leaving.presentWith)) continue;
    try {
      const opened = await openBackends(mode, setup, signal);
      left += await cleanMode(setup, opened, whose, signal);
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
const cleanMode = async ({ log }: Setup, { backends }: Opened, whose: Whose, signal: AbortSignal): Promise<number> => {
  // what both families use goes with the last one: so the first is looked at once more
  for (const [family, backend] of backends) say(family, await removeAll(backend, signal, whose));
  let count = 0;
  for (const [family, backend] of backends) {
    const result = await removeAll(backend, signal, whose);
    say(family, result);
    for (const { id } of result.left) log.error({ ipFamily: family, object: id }, 'could not be removed');
    if (result.kept.length > 0) sayKept(family, backend.mode, result.kept.length);
    count += result.left.length;
  }
  return count;
};

const sayKept = (family: IPFamily, mode: string, count: number): void => {
  process.stderr.write(
    `pointsman: ${family}: kube-proxy made ${count} objects of mode ${mode}, which stay; "cleanup --kube-proxy" removes them too\n`,
  );
};
