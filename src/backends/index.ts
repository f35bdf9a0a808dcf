/** Modes by name, each loaded on demand: the one table that a further backend adds a line to. */
import { readFile } from 'node:fs/promises';
import type { Backend, Departing, KernelObject } from '../dataplane/contract.ts';
import { findTools, type IptablesTools, type IptablesVariant } from '../kernel/iptables.ts';
import { IP_FAMILIES, type IPFamily } from '../model/address.ts';
import type { IpvsSettings } from './ipvs/index.ts';

export type AnyBackend = Backend<KernelObject, unknown>;

export interface OpenOptions {
  readonly iptablesTool: 'auto' | IptablesVariant;
  readonly ipvs: IpvsSettings;
  /** Reads only: opening, reading and checking write nothing, and `apply` throws. */
  readonly readOnly?: boolean;
  /** Counts the traffic of Services in modes where the kernel does not count it anyway. */
  readonly countsTraffic: boolean;
  /** Called with what is missing when a backend goes on without an optional part. */
  readonly warn?: (message: string) => void;
}

export interface Opened {
  readonly backends: ReadonlyMap<IPFamily, AnyBackend>;
  /** IP families that this host cannot serve, and why. */
  readonly unusable: ReadonlyMap<IPFamily, string>;
  /** What writes the rules, for the log. */
  readonly description: string;
  /** Closes sockets and programs. Kernel objects stay. */
  close(): void;
}

/** A mode that is left while connections run through it. */
export interface Departure {
  readonly backends: ReadonlyMap<IPFamily, Departing<KernelObject, unknown>>;
  close(): void;
}

interface Mode {
  /** Opens a backend that compiles and prints, without a kernel. */
  readonly offline: (family: IPFamily, options: OpenOptions) => Promise<AnyBackend>;
  readonly open: (options: OpenOptions) => Promise<Omit<Opened, 'unusable'>>;
  /** Present in modes that established connections run through. `masqueradeMark` is that of the mode that serves now. */
  readonly leave?: (options: OpenOptions, masqueradeMark: number) => Promise<Departure | undefined>;
}

const MODES: Readonly<Record<string, Mode>> = {
  iptables: {
    offline: async (family) => (await import('./iptables/index.ts')).iptablesBackend({ family }),
    open: async ({ iptablesTool, warn }) => {
      const { iptablesBackends } = await import('./iptables/index.ts');
      const tools = await findTools(iptablesTool);
      return { backends: iptablesBackends(tools, warn), description: describeTools(tools), close: nothing };
    },
  },
  ipvs: {
    offline: async (family, { ipvs: settings }) => {
      const { ipvsBackend } = await import('./ipvs/index.ts');
      return ipvsBackend({ family, settings });
    },
    open: async ({ iptablesTool, ipvs: settings, readOnly }) => {
      const { ipvsBackend, openKernel } = await import('./ipvs/index.ts');
      const tools = await findTools(iptablesTool);
      const kernel = await openKernel(tools, settings, readOnly);
      const backends = new Map(IP_FAMILIES.map((family) => [family, ipvsBackend({ family, settings, kernel })]));
      return { backends, description: `netlink, ${describeTools(tools)}`, close: () => kernel.handles.close() };
    },
    leave: async ({ iptablesTool, ipvs: settings }, masqueradeMark) => {
      const { departure } = await import('./ipvs/index.ts');
      const opened = await departure(() => findTools(iptablesTool), settings, masqueradeMark);
      if (opened === undefined) return undefined;
      const { backends, close } = opened;
      const isUsable = (await hasIPv6()) ? () => true : (family: IPFamily) => family === 'IPv4';
      return { backends: new Map([...backends].filter(([family]) => isUsable(family))), close };
    },
  },
  nftables: {
    offline: async (family, { countsTraffic: counts }) =>
      (await import('./nftables/index.ts')).nftablesBackend({ family, counts }),
    open: async ({ readOnly, countsTraffic: counts, warn }) => {
      const { nftablesBackends } = await import('./nftables/index.ts');
      return { ...nftablesBackends({ readOnly, counts, warn }), description: 'nf_tables netlink' };
    },
  },
};

/** Tools are run and leave nothing open. */
const nothing = (): void => undefined;

const describeTools = ({ IPv4, variant }: IptablesTools): string => `${IPv4} (${variant ?? 'unknown variant'})`;

const modeOf = (name: string): Mode => {
  const mode = MODES[name];
  if (mode !== undefined) return mode;
  throw new Error(`mode ${name} is not in this version of pointsman; there is: ${Object.keys(MODES).join(', ')}`);
};

/** Opens a backend that needs neither root nor kernel. Throws when this version has no such mode. */
export const offlineBackend = (mode: string, family: IPFamily, options: OpenOptions): Promise<AnyBackend> =>
  modeOf(mode).offline(family, options);

/**
 * Opens a mode that is left while connections may still run through it. Undefined: the kernel has nothing of the mode.
 * Throws, naming what is missing, when the kernel cannot be read.
 */
export const openDeparture = async (
  mode: string,
  options: OpenOptions,
  masqueradeMark: number,
): Promise<Departure | undefined> => modeOf(mode).leave?.(options, masqueradeMark);

/** Opens the backends of the IP families that this host can serve. Throws, with the tools' messages, when it can serve none. */
export const openBackends = async (mode: string, options: OpenOptions, signal: AbortSignal): Promise<Opened> => {
  const { backends, description, close } = await modeOf(mode).open(options);
  const usable = new Map<IPFamily, AnyBackend>();
  const unusable = new Map<IPFamily, string>();
  for (const [family, backend] of backends) {
    const reason = await whyUnusable(family, backend, signal);
    if (reason === undefined) usable.set(family, options.readOnly === true ? withoutWriting(backend) : backend);
    else unusable.set(family, reason);
  }
  if (usable.size === 0) {
    close();
    throw new Error([...unusable].map(([family, reason]) => `${family}: ${reason}`).join('; '));
  }
  return { backends: usable, unusable, description, close };
};

/** Throws on `apply`, as a last safeguard: callers that only read do not apply. */
const withoutWriting = (backend: AnyBackend): AnyBackend => ({
  ...backend,
  apply: async () => {
    throw new Error('opened to look only: nothing is written');
  },
});

const whyUnusable = async (family: IPFamily, backend: AnyBackend, signal: AbortSignal): Promise<string | undefined> => {
  if (family === 'IPv6' && !(await hasIPv6())) return 'this kernel has no IPv6, or it is switched off';
  try {
    if (backend.check === undefined) await backend.read(signal);
    else backend.check();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

const hasIPv6 = async (): Promise<boolean> => {
  const [interfaces, disabled] = await Promise.all([
    readFile('/proc/net/if_inet6', 'utf8').catch(() => undefined),
    readFile('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8').catch(() => '0'),
  ]);
  return interfaces !== undefined && disabled.trim() !== '1';
};
