/**
 * The kernel settings of connection tracking that the operator asked for, as files and values. Pure; kube-proxy's rules.
 *
 * Paths are absolute: one of them is a parameter of the module, not below /proc/sys.
 */
import type { ConntrackConfig } from './config.ts';

export interface ConntrackSetting {
  readonly path: string;
  readonly value: number;
}

const at = (name: string): string => `/proc/sys/net/netfilter/nf_conntrack_${name}`;

const MAX = at('max');
const HASH_SIZE = '/sys/module/nf_conntrack/parameters/hashsize';

/** A table larger than that takes more memory than tracking is worth: many cores do not make it grow further. */
const MOST_ENTRIES = 1_048_576;
/** Entries that a bucket of the table holds on average, at most. */
const ENTRIES_IN_BUCKET = 4;

/** All that may be asked for: what to look at first. */
export const CONNTRACK_PATHS: readonly string[] = [
  MAX,
  HASH_SIZE,
  ...['tcp_timeout_established', 'tcp_timeout_close_wait', 'tcp_be_liberal', 'udp_timeout', 'udp_timeout_stream'].map(
    at,
  ),
];

/** Kernel settings to write, in this order. `present`: values of the kernel, by path. */
export const conntrackSettings = (
  config: ConntrackConfig,
  cpus: number,
  present: ReadonlyMap<string, number>,
): readonly ConntrackSetting[] => {
  const max = tableSize(config, cpus);
  const timeouts = [
    ['tcp_timeout_established', config.tcpEstablishedTimeoutMs],
    ['tcp_timeout_close_wait', config.tcpCloseWaitTimeoutMs],
    ['udp_timeout', config.udpTimeoutMs],
    ['udp_timeout_stream', config.udpStreamTimeoutMs],
  ] as const;
  const wanted = [
    ...(max === undefined ? [] : [{ path: MAX, value: max }, ...buckets(max, present)]),
    ...timeouts.flatMap(([name, ms]) => (ms > 0 ? [{ path: at(name), value: seconds(ms) }] : [])),
    // only ever switched on: that it is on may be somebody else's wish
    ...(config.tcpBeLiberal ? [{ path: at('tcp_be_liberal'), value: 1 }] : []),
  ];
  return wanted.filter(({ path, value }) => present.get(path) !== value);
};

/** Undefined = as the kernel has it; then `min` does not count either. */
const tableSize = ({ maxPerCore, min }: ConntrackConfig, cpus: number): number | undefined => {
  if (maxPerCore <= 0) return undefined;
  const scaled = maxPerCore * cpus;
  return scaled > MOST_ENTRIES ? MOST_ENTRIES : Math.max(scaled, min);
};

/** The kernel does not let the number of buckets grow with the table: long chains in them cost every packet. */
const buckets = (max: number, present: ReadonlyMap<string, number>): readonly ConntrackSetting[] => {
  const value = Math.floor(max / ENTRIES_IN_BUCKET);
  return (present.get(HASH_SIZE) ?? 0) >= value ? [] : [{ path: HASH_SIZE, value }];
};

/** Whole seconds. Less than one is not none: the kernel would forget every connection at once. */
const seconds = (ms: number): number => Math.max(1, Math.floor(ms / 1_000));
