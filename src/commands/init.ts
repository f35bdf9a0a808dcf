/**
 * `--init-only`: does what needs more privileges than running does, and ends. In a pod this is the init container, so that
 * the proxy itself needs neither a writable /proc/sys nor the right to load modules.
 *
 * Kernel modules, settings of connection tracking, and what of the mode's base is set once and stays (kernel settings, and
 * the guard in front of one): a run that follows finds all of it as it wants it, and has nothing of it to write.
 */
import { openBackends } from '../backends/index.ts';
import { nodeOptions } from '../config/node-options.ts';
import type { Backend, Change, KernelObject } from '../dataplane/contract.ts';
import { loadModule } from '../kernel/modules.ts';
import { nodeContext } from '../model/node.ts';
import { setConntrack } from './conntrack.ts';
import type { Setup } from './setup.ts';

/** Throws, saying what is missing, when this host cannot do the mode at all. */
export const init = async (setup: Setup, signal: AbortSignal): Promise<void> => {
  const { config, warnings, nodeName, log } = setup;
  for (const warning of warnings) log.warn(warning);
  for (const module of config.profile.needs.modules) {
    const said = await loadModule(module);
    if (said !== undefined) log.info({ module, said }, 'module not loaded: it may be built in, or not be needed');
  }
  const set = [...(await setConntrack(setup))];
  const options = { config, warn: (message: string) => log.warn(message) };
  const { backends, unusable, description } = await openBackends(config.mode, options, signal);
  for (const [family, reason] of unusable) log.warn({ ipFamily: family, reason }, 'family left alone');
  for (const [family, backend] of backends) {
    const node = nodeContext(nodeOptions(config, nodeName), undefined, family, []);
    set.push(...(await setWhatStays(backend, backend.base(node).objects, signal)));
  }
  log.info({ mode: config.mode, tool: description, set }, 'node prepared');
};

/** Gives what was written, for people to read. */
const setWhatStays = async <O extends KernelObject, B>(
  backend: Backend<O, B>,
  wanted: readonly O[],
  signal: AbortSignal,
): Promise<readonly string[]> => {
  const have = await backend.read(signal);
  const changes = wanted
    .filter(({ stays }) => stays === true)
    .flatMap((object): readonly Change<O>[] => {
      const previous = have.get(object.id);
      if (previous === undefined) return [{ op: 'add', object }];
      return previous.content === object.content ? [] : [{ op: 'replace', object, previous }];
    });
  for (const batch of backend.plan(changes)) if (batch !== undefined) await backend.apply(batch, signal);
  return changes.map(({ object }) => backend.format(object));
};
