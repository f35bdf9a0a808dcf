/** Mode iptables, opened over the tools of this host. */
import { findTools } from '../../kernel/iptables.ts';
import type { Mode } from '../mode.ts';
import { describeTools } from '../xtables/tools.ts';
import { iptablesBackend, iptablesBackends } from './index.ts';

export const mode: Mode = {
  offline: (family) => iptablesBackend({ family }),
  open: async ({ config, warn }) => {
    const tools = await findTools(config.pointsman.iptablesTool);
    return { backends: iptablesBackends(tools, warn), description: describeTools(tools), close: nothing };
  },
};

/** Tools are run and leave nothing open. */
const nothing = (): void => undefined;
