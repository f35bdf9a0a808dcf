/** Modes by name: the one table that a further backend adds a line to. Profiles are data; backends are loaded on demand. */
import { readFile } from 'node:fs/promises';
import type { IPFamily } from '../model/address.ts';
import type { ModeProfile } from '../model/mode-profile.ts';
import { profile as iptables } from './iptables/profile.ts';
import { profile as ipvs } from './ipvs/profile.ts';
import type { AnyBackend, Departure, Mode, Opened, OpenOptions } from './mode.ts';
import { profile as nftables } from './nftables/profile.ts';

interface Line {
  readonly profile: ModeProfile;
  readonly load: () => Promise<{ readonly mode: Mode }>;
}

const MODES = {
  iptables: { profile: iptables, load: () => import('./iptables/mode.ts') },
  ipvs: { profile: ipvs, load: () => import('./ipvs/mode.ts') },
  nftables: { profile: nftables, load: () => import('./nftables/mode.ts') },
} as const satisfies Readonly<Record<string, Line>>;

type ModeName = keyof typeof MODES;

export const PROFILES = Object.values(MODES).map(({ profile }) => profile);

export const profileOf = (mode: ModeName): (typeof PROFILES)[number] => MODES[mode].profile;

const isMode = (name: string): name is ModeName => Object.hasOwn(MODES, name);

const modeOf = async (name: string): Promise<Mode> => {
  if (isMode(name)) return (await MODES[name].load()).mode;
  throw new Error(`mode ${name} is not in this version of pointsman; there is: ${Object.keys(MODES).join(', ')}`);
};

/** Opens a backend that needs neither root nor kernel. Throws when this version has no such mode. */
export const offlineBackend = async (mode: string, family: IPFamily, options: OpenOptions): Promise<AnyBackend> =>
  (await modeOf(mode)).offline(family, options);

/**
 * Opens a mode that is left while connections may still run through it. Undefined: the kernel has nothing of the mode.
 * Throws, naming what is missing, when the kernel cannot be read.
 */
export const openDeparture = async (
  mode: string,
  options: OpenOptions,
  masqueradeMark: number,
): Promise<Departure | undefined> => {
  const { leave } = await modeOf(mode);
  const departure = await leave?.(options, masqueradeMark);
  if (departure === undefined || (await hasIPv6())) return departure;
  const { backends, close } = departure;
  return { backends: new Map([...backends].filter(([family]) => family === 'IPv4')), close };
};

/** Opens the backends of the IP families that this host can serve. Throws, with the tools' messages, when it can serve none. */
export const openBackends = async (mode: string, options: OpenOptions, signal: AbortSignal): Promise<Opened> => {
  const { backends, description, close } = await (await modeOf(mode)).open(options);
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
