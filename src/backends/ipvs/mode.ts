/** Mode ipvs, opened over the kernel and the iptables tools of this host. */
import { release } from 'node:os';
import { findTools } from '../../kernel/iptables.ts';
import { IP_FAMILIES, parseCIDR } from '../../model/address.ts';
import type { BackendConfig, Mode } from '../mode.ts';
import { describeTools } from '../xtables/tools.ts';
import { departure, type IpvsSettings, ipvsBackend, openKernel } from './index.ts';

const DEFAULT_SCHEDULER = 'rr';

export const mode: Mode = {
  offline: (family, { config }) => ipvsBackend({ family, settings: settingsOf(config) }),
  open: async ({ config, readOnly }) => {
    const settings = settingsOf(config);
    const tools = await findTools(config.pointsman.iptablesTool);
    const kernel = await openKernel(tools, settings, readOnly);
    const backends = new Map(IP_FAMILIES.map((family) => [family, ipvsBackend({ family, settings, kernel })]));
    return { backends, description: `netlink, ${describeTools(tools)}`, close: () => kernel.handles.close() };
  },
  leave: ({ config }, masqueradeMark) =>
    departure(() => findTools(config.pointsman.iptablesTool), settingsOf(config), masqueradeMark),
};

const settingsOf = ({ pointsman, ipvs, iptables }: BackendConfig): IpvsSettings => ({
  scheduler: ipvs.scheduler === '' ? DEFAULT_SCHEDULER : ipvs.scheduler,
  strictARP: ipvs.strictARP,
  excluded: ipvs.excludeCIDRs.flatMap((text) => parseCIDR(text) ?? []),
  timeouts: {
    tcp: seconds(ipvs.tcpTimeoutMs),
    tcpFin: seconds(ipvs.tcpFinTimeoutMs),
    udp: seconds(ipvs.udpTimeoutMs),
  },
  ignoresReuse: dropsReused(release()),
  marks: markSettings(pointsman.ipvsMarkMask, 2 ** iptables.masqueradeBit),
});

const markSettings = (mask: number, masqueradeMark: number): IpvsSettings['marks'] => ({
  mask: (mask & ~masqueradeMark) >>> 0,
  masqueradeMark,
});

const seconds = (milliseconds: number): number => Math.round(milliseconds / 1_000);

/** Kernels from 4.1 on, up to the cure in 5.9. */
const dropsReused = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return (major === 4 && minor >= 1) || (major === 5 && minor < 9);
};
