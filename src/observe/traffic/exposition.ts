/**
 * Traffic of Services in the Prometheus text format, put together with rests of the event loop. prom-client would hold an
 * object for each of hundreds of thousands of series, and print them without a rest.
 */
import { setImmediate as rest } from 'node:timers/promises';
import type { ModeMetrics } from '../../model/mode-profile.ts';
import type { ServicePortName } from '../../model/service.ts';
import type { FamilyTraffic } from './family-traffic.ts';
import type { CountName, Sums } from './totals.ts';

interface Series {
  readonly name: string;
  readonly help: string;
  /** Counts shown, each with its additional labels. */
  readonly shows: readonly (readonly [CountName, labels: string])[];
}

const CONNECTIONS: Series = {
  name: 'pointsman_service_connections_total',
  help: 'Connections to a service port that were led to an endpoint',
  shows: [['connections', '']],
};

const PACKETS: Series = {
  name: 'pointsman_service_packets_total',
  help: 'Packets of these connections: in = from clients, out = to clients',
  shows: [
    ['packetsIn', ',direction="in"'],
    ['packetsOut', ',direction="out"'],
  ],
};

const BYTES: Series = {
  name: 'pointsman_service_bytes_total',
  help: 'Bytes of these packets, headers from IP on included',
  shows: [
    ['bytesIn', ',direction="in"'],
    ['bytesOut', ',direction="out"'],
  ],
};

/** Traffic of one family. */
export type ShownTraffic = Pick<FamilyTraffic, 'family' | 'omitted' | 'readAt' | 'refresh'> & {
  rows(): Iterable<readonly [name: ServicePortName, sums: Sums]>;
};

const SERIES = { connections: CONNECTIONS, packets: PACKETS, bytes: BYTES } as const;

const OMITTED = 'pointsman_service_traffic_omitted';
const READ_AT = 'pointsman_service_traffic_read_timestamp_seconds';
const SLICE_MS = 8;
/** Service ports between two reads of the clock. */
const STRIDE = 100;

/** Exposition of these families, read from the kernel if that does not take long; `counted` = what the kernel counts. Never throws. */
export const trafficExposition = async (
  counted: ModeMetrics['traffic'],
  families: readonly ShownTraffic[],
): Promise<string> => {
  await Promise.all(families.map((family) => family.refresh()));
  const lines = [
    `# HELP ${OMITTED} Service ports without traffic metrics, as there are more than --service-metrics`,
    `# TYPE ${OMITTED} gauge`,
    ...families.map(({ family, omitted }) => `${OMITTED}{ip_family="${family}"} ${omitted}`),
    `# HELP ${READ_AT} When traffic was last read from the kernel`,
    `# TYPE ${READ_AT} gauge`,
    ...families.flatMap(({ family, readAt }) =>
      readAt === undefined ? [] : [`${READ_AT}{ip_family="${family}"} ${readAt / 1_000}`],
    ),
  ];
  // a snapshot: service ports that change meanwhile must not be printed twice
  const rows = families.map((family) => [family.family, [...family.rows()]] as const);
  let until = performance.now() + SLICE_MS;
  let done = 0;
  for (const series of counted.map((count) => SERIES[count])) {
    lines.push(`# HELP ${series.name} ${series.help}`, `# TYPE ${series.name} counter`);
    for (const [family, ports] of rows) {
      for (const [name, sums] of ports) {
        const labels = labelsOf(family, name);
        for (const [count, more] of series.shows) lines.push(`${series.name}{${labels}${more}} ${sums[count]}`);
        done += 1;
        if (done % STRIDE > 0 || performance.now() < until) continue;
        await rest();
        until = performance.now() + SLICE_MS;
      }
    }
  }
  return `${lines.join('\n')}\n`;
};

const labelsOf = (family: string, { namespace, name, port, protocol }: ServicePortName): string =>
  `ip_family="${family}",namespace="${escaped(namespace)}",service="${escaped(name)}",port="${escaped(port)}",protocol="${protocol}"`;

/** Escapes a label: objects from files are not validated by an API server. */
const escaped = (text: string): string =>
  text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
