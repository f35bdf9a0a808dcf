/** Mode nftables, opened over the kernel of this host. */
import type { BackendConfig, Mode } from '../mode.ts';
import { nftablesBackend, nftablesBackends } from './index.ts';

export const mode: Mode = {
  offline: (family, { config }) => nftablesBackend({ family, counts: counts(config) }),
  open: async ({ config, readOnly, warn }) => ({
    ...nftablesBackends({ readOnly, counts: counts(config), warn }),
    description: 'nf_tables netlink',
  }),
};

const counts = ({ pointsman }: BackendConfig): boolean => pointsman.serviceMetrics > 0;
