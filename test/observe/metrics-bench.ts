/** Metrics with time and pulled values in the test's hands. */
import { profileOf } from '../../src/backends/index.ts';
import type { ProxyMode } from '../../src/config/config.ts';
import type { SyncReport } from '../../src/dataplane/status.ts';
import { IP_FAMILIES, type IPFamily } from '../../src/model/address.ts';
import { type Gauged, Metrics } from '../../src/observe/metrics.ts';
import { parseExposition } from './exposition.ts';

export const NOW = Date.parse('2026-01-01T00:00:00Z');
/** On the clock that nobody sets. */
export const CLOCK = 5_000_000;

export interface MetricsBench {
  readonly metrics: Metrics;
  /** The value of one series, such as `kubeproxy_x{ip_family="IPv4"}`; undefined when there is none. */
  readonly value: (series: string) => Promise<number | undefined>;
}

export const metricsOf = (
  mode: ProxyMode,
  gauged: Partial<Gauged> = {},
  families: readonly IPFamily[] = IP_FAMILIES,
): MetricsBench => {
  const pulled: Gauged = {
    quarantined: new Map(),
    rules: new Map(),
    watches: undefined,
    malformed: [],
    skipped: 0,
    ...gauged,
  };
  const metrics = new Metrics({
    profile: profileOf(mode),
    version: '1.2.3',
    families,
    gauged: () => pulled,
    now: () => NOW,
    clock: () => CLOCK,
  });
  const value = async (series: string): Promise<number | undefined> => {
    const samples = [...parseExposition(await metrics.exposition()).values()].flatMap((family) => family.samples);
    const named = samples.find(({ name, labels }) => spell(name, labels) === series);
    return named?.value;
  };
  return { metrics, value };
};

const spell = (name: string, labels: Readonly<Record<string, string>>): string => {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.sort().join(',')}}`;
};

export const report = (parts: Partial<SyncReport> = {}): SyncReport => ({
  full: false,
  changes: { added: 0, replaced: 0, removed: 0 },
  batches: 0,
  durationMs: 0,
  services: [],
  gone: [],
  triggeredAt: [],
  drift: { missing: [], changed: [], foreign: [] },
  ...parts,
});
