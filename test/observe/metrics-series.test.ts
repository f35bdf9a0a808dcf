/** Names, types and labels: what dashboards and alerts rely on. */
import { describe, expect, it } from 'vitest';
import type { ProxyMode } from '../../src/config/config.ts';
import { Life } from '../../src/observe/life.ts';
import { type Family, faults, parseExposition } from './exposition.ts';
import { metricsOf, report } from './metrics-bench.ts';

const life = new Life();
const MODES: readonly ProxyMode[] = ['iptables', 'ipvs', 'nftables'];
const LETTERS: Readonly<Record<string, ProxyMode>> = { I: 'iptables', V: 'ipvs', N: 'nftables' };
const A = 'IVN';

/** kube-proxy 1.36's own, and the modes in which it has them. */
const THEIRS: readonly (readonly [name: string, type: string, labels: string, modes: string])[] = [
  ['sync_proxy_rules_duration_seconds', 'histogram', 'ip_family', A],
  ['sync_full_proxy_rules_duration_seconds', 'histogram', 'ip_family', 'IN'],
  ['sync_partial_proxy_rules_duration_seconds', 'histogram', 'ip_family', 'IN'],
  ['sync_proxy_rules_last_timestamp_seconds', 'gauge', 'ip_family', A],
  ['sync_proxy_rules_last_queued_timestamp_seconds', 'gauge', 'ip_family', A],
  ['network_programming_duration_seconds', 'histogram', 'ip_family', A],
  ['sync_proxy_rules_endpoint_changes_total', 'counter', '', A],
  ['sync_proxy_rules_endpoint_changes_pending', 'gauge', '', A],
  ['sync_proxy_rules_service_changes_total', 'counter', '', A],
  ['sync_proxy_rules_service_changes_pending', 'gauge', '', A],
  ['sync_proxy_rules_no_local_endpoints_total', 'gauge', 'ip_family,traffic_policy', A],
  ['sync_proxy_rules_iptables_total', 'gauge', 'ip_family,table', 'I'],
  ['sync_proxy_rules_iptables_last', 'gauge', 'ip_family,table', 'I'],
  ['sync_proxy_rules_iptables_restore_failures_total', 'counter', 'ip_family', 'IV'],
  ['sync_proxy_rules_iptables_partial_restore_failures_total', 'counter', 'ip_family', 'I'],
  ['sync_proxy_rules_nftables_sync_failures_total', 'counter', 'ip_family', 'N'],
  ['sync_proxy_rules_nftables_cleanup_failures_total', 'counter', 'ip_family', 'N'],
  ['conntrack_reconciler_sync_duration_seconds', 'histogram', 'ip_family', A],
  ['conntrack_reconciler_deleted_entries_total', 'counter', 'ip_family', A],
  ['proxy_healthz_total', 'counter', 'code', A],
  ['proxy_livez_total', 'counter', 'code', A],
];

/** Those that nobody can fill here; the reasons stand in the source. */
const LEFT_OUT = [
  'iptables_ct_state_invalid_dropped_packets_total',
  'iptables_localhost_nodeports_accepted_packets_total',
];

const OURS: readonly (readonly [name: string, type: string, labels: string])[] = [
  ['build_info', 'gauge', 'mode,version'],
  ['failures_total', 'counter', 'ip_family,work'],
  ['drift_objects_total', 'counter', 'ip_family,kind'],
  ['quarantined_owners', 'gauge', 'ip_family'],
  ['kernel_transactions_total', 'counter', 'ip_family,result'],
  ['objects_written_total', 'counter', 'ip_family,op'],
  ['watch_relists_total', 'counter', 'kind'],
  ['watch_restarts_total', 'counter', 'kind'],
  ['watch_last_event_age_seconds', 'gauge', 'kind'],
  ['malformed_objects', 'gauge', 'kind'],
  ['skipped_objects_total', 'counter', ''],
  ['events_total', 'counter', 'result'],
  ['config_reloads_total', 'counter', 'result'],
  ['config_outdated', 'gauge', ''],
  ['log_lines_lost_total', 'counter', ''],
];

const labelsOf = ({ samples }: Family): string =>
  [...new Set(samples.flatMap(({ labels }) => Object.keys(labels)))]
    .filter((label) => label !== 'le')
    .sort()
    .join();

const described = (families: ReadonlyMap<string, Family>, prefix: string): readonly string[] =>
  [...families.values()]
    .filter(({ name }) => name.startsWith(prefix))
    .map((family) => `${family.name} ${family.type} (${labelsOf(family)})`)
    .sort();

const watched = { Node: { relists: 1, watchRestarts: 0, lastEventAt: 1 } };

/** Everything has happened once. */
const lived = async (mode: ProxyMode): Promise<ReadonlyMap<string, Family>> => {
  const { metrics } = metricsOf(mode, { watches: watched, events: { written: 1, limited: 0, lost: 0 } });
  metrics.answered({ method: 'GET', host: 'api:6443', code: '200' });
  metrics.ended({ method: 'GET', host: 'api:6443', seconds: 0.2 });
  for (const family of ['IPv4', 'IPv6'] as const) {
    metrics.queued(family);
    metrics.synced(family, report());
  }
  return parseExposition((await metrics.exposition()) + (await life.exposition()));
};

describe.each(MODES)('in mode %s', (mode) => {
  it("there are kube-proxy's series of this mode and no other", async () => {
    const expected = THEIRS.filter(([, , , modes]) => [...modes].some((letter) => LETTERS[letter] === mode));
    expect(described(await lived(mode), 'kubeproxy_')).toEqual(
      expected.map(([name, type, labels]) => `kubeproxy_${name} ${type} (${labels})`).sort(),
    );
  });

  it('there are our own', async () => {
    expect(described(await lived(mode), 'pointsman_')).toEqual(
      OURS.map(([name, type, labels]) => `pointsman_${name} ${type} (${labels})`).sort(),
    );
  });

  it('the exposition is faultless', async () => {
    expect(faults(await lived(mode))).toEqual([]);
    expect(faults(parseExposition(await metricsOf(mode).metrics.exposition()))).toEqual([]);
  });
});

it("there are client-go's, with its buckets", async () => {
  const families = await lived('nftables');
  expect(described(families, 'rest_client_')).toEqual([
    'rest_client_request_duration_seconds histogram (host,verb)',
    'rest_client_requests_total counter (code,host,method)',
  ]);
  const samples = families.get('rest_client_request_duration_seconds')?.samples ?? [];
  expect(samples.flatMap(({ labels }) => labels.le ?? []).join(' ')).toBe(
    '0.005 0.025 0.1 0.25 0.5 1 2 4 8 15 30 60 +Inf',
  );
});

it('nothing is shown that nobody fills', async () => {
  const names = [...(await lived('iptables')).keys()];
  for (const name of LEFT_OUT) expect(names).not.toContain(`kubeproxy_${name}`);
});

it("the buckets are kube-proxy's", async () => {
  const families = await lived('nftables');
  const bounds = (name: string): readonly string[] => {
    const { samples } = families.get(name) ?? { samples: [] };
    const own = samples.filter(({ labels }) => labels.le !== undefined && labels.ip_family === 'IPv4');
    return own.map(({ labels }) => labels.le ?? '');
  };
  const doubling = ['0.001', '0.002', '0.004', '0.008', '0.016', '0.032', '0.064', '0.128', '0.256', '0.512'];
  const seconds = ['1.024', '2.048', '4.096', '8.192', '16.384', '+Inf'];
  expect(bounds('kubeproxy_sync_proxy_rules_duration_seconds')).toEqual([...doubling, ...seconds]);
  expect(bounds('kubeproxy_conntrack_reconciler_sync_duration_seconds')).toEqual([...doubling, ...seconds]);
  const programming = bounds('kubeproxy_network_programming_duration_seconds');
  expect(programming).toHaveLength(2 + 59 + 12 + 7 + 1);
  expect(programming.slice(0, 4)).toEqual(['0.25', '0.5', '1', '2']);
  expect(programming.slice(59, 64)).toEqual(['58', '59', '60', '65', '70']);
  expect(programming.slice(-9)).toEqual(['115', '120', '150', '180', '210', '240', '270', '300', '+Inf'].slice(-9));
});

it('there are those of the process and of Node', async () => {
  const names = [...(await lived('nftables')).keys()];
  expect(names).toEqual(
    expect.arrayContaining([
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'process_start_time_seconds',
      'process_open_fds',
      'nodejs_eventloop_lag_p99_seconds',
      'nodejs_heap_size_used_bytes',
    ]),
  );
});

it('two sets of metrics have nothing in common', async () => {
  const [one, other] = [metricsOf('iptables'), metricsOf('iptables')];
  one.metrics.refused('IPv4', false);
  const series = 'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"}';
  expect([await one.value(series), await other.value(series)]).toEqual([1, 0]);
});

describe('the reader of expositions finds', () => {
  it.each([
    ['# HELP a b\n# TYPE a counter\na 1\n', 'counter a does not end in _total'],
    ['# HELP a_total \n# TYPE a_total counter\na_total 1\n', 'a_total has no help'],
    ['# HELP a b\n# TYPE a thing\na 1\n', 'a has no type'],
    ['# HELP a b\n# TYPE a gauge\na{x="1",y="2"} 1\na{y="2",x="1"} 2\n', 'a has a series twice'],
    ['# HELP a_ms b\n# TYPE a_ms gauge\na_ms 1\n', 'a_ms is not in a base unit'],
    ['# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n', 'a{} has no bucket +Inf'],
    [
      '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
      'a{} has buckets that shrink',
    ],
  ])('the fault in %j', (text, fault) => {
    expect(faults(parseExposition(text))).toContain(fault);
  });

  it.each(['a 1\n', '# HELP a b\n# TYPE a gauge\na one\n', '# HELP a b\n# TYPE a gauge\na{x=1} 1\n', '# HELP a b'])(
    'that %j is none',
    (text) => {
      expect(() => parseExposition(text)).toThrow();
    },
  );
});
