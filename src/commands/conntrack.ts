/** Kernel settings of connection tracking, as the configuration wants them. */
import { availableParallelism, cpus } from 'node:os';
import { CONNTRACK_PATHS, conntrackSettings } from '../config/conntrack-settings.ts';
import { applyConntrackSettings } from '../kernel/conntrack-settings.ts';
import type { Setup } from './setup.ts';

/** Gives what was written, for people to read. What cannot be is warned about: a proxy that does not start is worse. */
export const setConntrack = async ({ config, log }: Setup): Promise<readonly string[]> => {
  const processors = cpus().length || availableParallelism();
  const written = await applyConntrackSettings({
    paths: CONNTRACK_PATHS,
    choose: (present) => conntrackSettings(config.conntrack, processors, present),
    warn: (message) => log.warn(message),
    inform: (message) => log.info(message),
  });
  return written.map(({ path, value }) => `${path} = ${value}`);
};
