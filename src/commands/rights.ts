/** Capabilities of the process, checked before the first write: a later failure says less about its reason. */
import { missingCapabilities } from '../kernel/capabilities.ts';
import type { Setup } from './setup.ts';

/** Throws, naming the capability, where nothing can be written without it. */
export const checkRights = async ({ config, log }: Pick<Setup, 'config' | 'log'>): Promise<void> => {
  const { mode, needs } = config.profile;
  const missing = await missingCapabilities([
    ...needs.capabilities,
    ...needs.wanted.map(({ capability }) => capability),
  ]);
  const fatal = needs.capabilities.find((capability) => missing.includes(capability));
  if (fatal !== undefined) throw new Error(`mode ${mode} needs root, or the capability ${fatal}`);
  for (const { capability, without } of needs.wanted) {
    if (missing.includes(capability)) log.warn(`the capability ${capability} is missing: ${without}`);
  }
};
