/**
 * Series of kube-proxy 1.36 under their exact names, types, labels and buckets, so that its dashboards and alerts work.
 *
 * A mode has the series that it has in kube-proxy, without two: the packet counters of mode iptables need nfacct rules,
 * which this proxy does not write.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ModeSeries } from '../model/mode-profile.ts';

const FAMILY = ['ip_family'] as const;
const NONE = [] as const;

/** Buckets from a millisecond on, each double the one before. */
const SYNC_BUCKETS: readonly number[] = Array.from({ length: 15 }, (_, k) => 0.001 * 2 ** k);

const steps = (from: number, to: number, by: number): readonly number[] =>
  Array.from({ length: (to - from) / by + 1 }, (_, i) => from + i * by);

const PROGRAMMING_BUCKETS = [0.25, 0.5, ...steps(1, 59, 1), ...steps(60, 115, 5), ...steps(120, 300, 30)];

/** Constructors of series, for one registry and a mode that has these of the series that not every mode has. */
const maker = (registry: Registry, had: readonly ModeSeries[]) => {
  const options = <L extends string>(name: string, help: string, labelNames: readonly L[]) => ({
    name: `kubeproxy_${name}`,
    help,
    labelNames,
    registers: [registry],
  });
  return {
    counter: <L extends string>(name: string, help: string, labels: readonly L[]): Counter<L> =>
      new Counter(options(name, help, labels)),
    gauge: <L extends string>(name: string, help: string, labels: readonly L[]): Gauge<L> =>
      new Gauge(options(name, help, labels)),
    histogram: (name: string, help: string, buckets = SYNC_BUCKETS): Histogram<'ip_family'> =>
      new Histogram({ ...options(name, help, FAMILY), buckets: [...buckets] }),
    /** Undefined where the mode has no series of that name. */
    only: <T>(name: ModeSeries, make: (name: ModeSeries) => T): T | undefined =>
      had.includes(name) ? make(name) : undefined,
  };
};

type Maker = ReturnType<typeof maker>;

const syncSeries = ({ gauge, histogram, only }: Maker) => ({
  syncs: histogram('sync_proxy_rules_duration_seconds', 'Duration of syncs, failed ones included'),
  fullSyncs: only('sync_full_proxy_rules_duration_seconds', (name) =>
    histogram(name, 'Duration of syncs that read the kernel first'),
  ),
  partialSyncs: only('sync_partial_proxy_rules_duration_seconds', (name) =>
    histogram(name, 'Duration of syncs of just what changed'),
  ),
  lastSync: gauge('sync_proxy_rules_last_timestamp_seconds', 'When a sync last succeeded', FAMILY),
  lastQueued: gauge('sync_proxy_rules_last_queued_timestamp_seconds', 'When a sync was last asked for', FAMILY),
  programming: histogram(
    'network_programming_duration_seconds',
    'Time from the change of a pod or Service, as its EndpointSlice tells, until this node has it',
    PROGRAMMING_BUCKETS,
  ),
});

const changeSeries = ({ counter, gauge }: Maker) => ({
  endpointChanges: counter('sync_proxy_rules_endpoint_changes_total', 'Events of EndpointSlices', NONE),
  endpointsPending: gauge('sync_proxy_rules_endpoint_changes_pending', 'Those that no sync has taken up yet', NONE),
  serviceChanges: counter('sync_proxy_rules_service_changes_total', 'Events of Services', NONE),
  servicesPending: gauge('sync_proxy_rules_service_changes_pending', 'Those that no sync has taken up yet', NONE),
  noLocalEndpoints: gauge(
    'sync_proxy_rules_no_local_endpoints_total',
    'Service ports (mode ipvs: Services) with traffic policy Local and endpoints, none of them on this node',
    ['traffic_policy', 'ip_family'],
  ),
});

const ruleSeries = ({ gauge, only }: Maker) => ({
  rulesTotal: only('sync_proxy_rules_iptables_total', (name) =>
    gauge(name, 'Rules in the kernel that are ours', ['table', 'ip_family']),
  ),
  rulesLast: only('sync_proxy_rules_iptables_last', (name) =>
    gauge(name, 'Rules that the last sync wrote', ['table', 'ip_family']),
  ),
});

const failureSeries = ({ counter, only }: Maker) => ({
  restoreFailures: only('sync_proxy_rules_iptables_restore_failures_total', (name) =>
    counter(name, 'Writes that were refused or could not be made, by iptables-restore or (mode ipvs) netlink', FAMILY),
  ),
  partialRestoreFailures: only('sync_proxy_rules_iptables_partial_restore_failures_total', (name) =>
    counter(name, 'Syncs of just what changed that failed as a whole', FAMILY),
  ),
  nftablesFailures: only('sync_proxy_rules_nftables_sync_failures_total', (name) =>
    counter(name, 'Transactions that the kernel refused', FAMILY),
  ),
  nftablesCleanupFailures: only('sync_proxy_rules_nftables_cleanup_failures_total', (name) =>
    counter(name, 'Transactions refused that only removed something: it stays, and is removed later', FAMILY),
  ),
});

const otherSeries = ({ counter, histogram }: Maker) => ({
  flowCleaning: histogram('conntrack_reconciler_sync_duration_seconds', 'Duration of looking for stale UDP flows'),
  flowsDeleted: counter('conntrack_reconciler_deleted_entries_total', 'Stale UDP flows deleted', FAMILY),
  healthz: counter('proxy_healthz_total', 'Answers to /healthz of the health server', ['code']),
  livez: counter('proxy_livez_total', 'Answers to /livez of the health server', ['code']),
});

export const kubeProxySeries = (registry: Registry, had: readonly ModeSeries[]) => {
  const make = maker(registry, had);
  const about = { ...ruleSeries(make), ...failureSeries(make), ...otherSeries(make) };
  return { ...syncSeries(make), ...changeSeries(make), ...about };
};

export type KubeProxySeries = ReturnType<typeof kubeProxySeries>;
