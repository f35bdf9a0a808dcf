/** What the process must be allowed to do, asked before anything is tried: what fails later says less about why. */
import { type Capability, missingCapabilities } from '../kernel/capabilities.ts';
import type { Setup } from './setup.ts';

/** Throws, naming the capability, where nothing can be written without it. */
export const checkRights = async ({ config: { mode }, log }: Pick<Setup, 'config' | 'log'>): Promise<void> => {
  const wanted: readonly Capability[] = mode === 'nftables' ? ['CAP_NET_ADMIN'] : ['CAP_NET_ADMIN', 'CAP_NET_RAW'];
  const missing = await missingCapabilities(wanted);
  if (missing.includes('CAP_NET_ADMIN')) {
    throw new Error(`mode ${mode} needs root, or the capability CAP_NET_ADMIN`);
  }
  if (missing.includes('CAP_NET_RAW')) {
    log.warn(
      'the capability CAP_NET_RAW is missing: the iptables programs of the legacy variant do not work without it',
    );
  }
};
