/** What of the configuration a backend needs, besides what shapes rules. */
import { release } from 'node:os';
import type { OpenOptions } from '../backends/index.ts';
import type { Config } from '../config/config.ts';
import { parseCIDR } from '../model/address.ts';

const DEFAULT_SCHEDULER = 'rr';

export const backendOptions = ({ pointsman, ipvs, iptables }: Config): OpenOptions => ({
  iptablesTool: pointsman.iptablesTool,
  countsTraffic: pointsman.serviceMetrics > 0,
  ipvs: {
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
  },
});

const markSettings = (mask: number, masqueradeMark: number): OpenOptions['ipvs']['marks'] => ({
  mask: (mask & ~masqueradeMark) >>> 0,
  masqueradeMark,
});

const seconds = (milliseconds: number): number => Math.round(milliseconds / 1_000);

/** Kernels from 4.1 on, up to the cure in 5.9. */
const dropsReused = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return (major === 4 && minor >= 1) || (major === 5 && minor < 9);
};
