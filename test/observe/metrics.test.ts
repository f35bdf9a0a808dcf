/** Values: that what happens moves what it should, and nothing else. */
import { describe, expect, it } from 'vitest';
import type { Failure } from '../../src/dataplane/loop.ts';
import { service } from '../dataplane/fake-backend.ts';
import { CLOCK, metricsOf, NOW, report } from './metrics-bench.ts';

const V4 = '{ip_family="IPv4"}';
const V6 = '{ip_family="IPv6"}';
const sync = 'kubeproxy_sync_proxy_rules';

const failure = (parts: Partial<Failure> = {}): Failure => ({
  what: 'sync',
  message: 'no',
  full: false,
  durationMs: 10,
  ...parts,
});

describe('a sync', () => {
  it('is counted with its duration, as full or partial', async () => {
    const { metrics, value } = metricsOf('nftables');
    metrics.synced('IPv4', report({ full: true, durationMs: 3 }));
    metrics.synced('IPv4', report({ durationMs: 1_500 }));
    expect(await value(`${sync}_duration_seconds_count${V4}`)).toBe(2);
    expect(await value(`${sync}_duration_seconds_sum${V4}`)).toBeCloseTo(1.503);
    expect(await value(`${sync}_duration_seconds_bucket{ip_family="IPv4",le="0.004"}`)).toBe(1);
    expect(await value(`${sync}_duration_seconds_bucket{ip_family="IPv4",le="2.048"}`)).toBe(2);
    expect(await value(`kubeproxy_sync_full_proxy_rules_duration_seconds_count${V4}`)).toBe(1);
    expect(await value(`kubeproxy_sync_partial_proxy_rules_duration_seconds_sum${V4}`)).toBe(1.5);
    expect(await value(`${sync}_duration_seconds_count${V6}`)).toBe(0);
  });

  it('tells when it was asked for and when it was done', async () => {
    const { metrics, value } = metricsOf('ipvs');
    expect(await value(`${sync}_last_timestamp_seconds${V4}`)).toBeUndefined();
    metrics.queued('IPv4');
    metrics.synced('IPv6', report());
    expect(await value(`${sync}_last_queued_timestamp_seconds${V4}`)).toBe(NOW / 1_000);
    expect(await value(`${sync}_last_timestamp_seconds${V4}`)).toBeUndefined();
    expect(await value(`${sync}_last_timestamp_seconds${V6}`)).toBe(NOW / 1_000);
  });

  it('gives one sample of the programming latency for each trigger of a Service, however many ports it has', async () => {
    const { metrics, value } = metricsOf('nftables');
    const a = service('a', '10.0.0.1', []);
    const port = (name: string, triggeredAt: readonly number[]) => ({
      ...a,
      port: { ...a.port, name: { ...a.port.name, port: name } },
      triggeredAt,
    });
    const b = { ...service('b', '10.0.0.2', []), triggeredAt: [NOW - 400] };
    const triggered = [NOW - 400, NOW - 90_000];
    metrics.synced('IPv4', report({ services: [port('p', triggered), port('q', triggered), b] }));
    const name = 'kubeproxy_network_programming_duration_seconds';
    expect(await value(`${name}_count${V4}`)).toBe(3);
    expect(await value(`${name}_sum${V4}`)).toBeCloseTo(90.8);
    expect(await value(`${name}_bucket{ip_family="IPv4",le="0.5"}`)).toBe(2);
    expect(await value(`${name}_bucket{ip_family="IPv4",le="90"}`)).toBe(3);
  });

  it('that was triggered by a clock ahead of ours took no time', async () => {
    const { metrics, value } = metricsOf('nftables');
    metrics.synced('IPv4', report({ services: [{ ...service('a', '10.0.0.1', []), triggeredAt: [NOW + 5_000] }] }));
    expect(await value(`kubeproxy_network_programming_duration_seconds_sum${V4}`)).toBe(0);
  });

  it('shows traffic that is dropped for want of a local endpoint', async () => {
    const { metrics, value } = metricsOf('nftables');
    const port = { ...service('a', '10.0.0.1', ['1.1.1.1']).port, internalPolicyLocal: true };
    const lacking = { ...service('a', '10.0.0.1', ['1.1.1.1']), port };
    const dropped = `${sync}_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"}`;
    expect(await value(dropped)).toBe(0);
    metrics.synced('IPv4', report({ services: [lacking] }));
    expect(await value(dropped)).toBe(1);
    expect(await value(dropped.replace('internal', 'external'))).toBe(0);
    metrics.synced('IPv4', report({ gone: ['ns/a:p/TCP'] }));
    expect(await value(dropped)).toBe(0);
  });

  it('that fails is counted among all syncs and as a failure', async () => {
    const { metrics, value } = metricsOf('iptables');
    metrics.failed('IPv4', failure({ full: true, durationMs: 250 }));
    metrics.failed('IPv4', failure());
    expect(await value(`${sync}_duration_seconds_sum${V4}`)).toBeCloseTo(0.26);
    expect(await value(`kubeproxy_sync_full_proxy_rules_duration_seconds_count${V4}`)).toBe(1);
    expect(await value(`${sync}_iptables_partial_restore_failures_total${V4}`)).toBe(1);
    expect(await value('pointsman_failures_total{ip_family="IPv4",work="sync"}')).toBe(2);
    expect(await value(`${sync}_last_timestamp_seconds${V4}`)).toBeUndefined();
  });

  it('is no audit', async () => {
    const { metrics, value } = metricsOf('iptables');
    metrics.failed('IPv6', failure({ what: 'audit' }));
    expect(await value('pointsman_failures_total{ip_family="IPv6",work="audit"}')).toBe(1);
    expect(await value(`${sync}_duration_seconds_count${V6}`)).toBe(0);
    expect(await value(`${sync}_iptables_partial_restore_failures_total${V6}`)).toBe(0);
  });
});

describe('changes', () => {
  it('are counted by event, and pend until they are taken up', async () => {
    const { metrics, value } = metricsOf('nftables');
    metrics.changed('Service', 3, 3);
    metrics.changed('EndpointSlice', 2, 1);
    metrics.changed('Node', 1, 1);
    metrics.changed('ServiceCIDR', 1, 1);
    expect(await value(`${sync}_service_changes_total`)).toBe(3);
    expect(await value(`${sync}_service_changes_pending`)).toBe(3);
    expect(await value(`${sync}_endpoint_changes_total`)).toBe(2);
    expect(await value(`${sync}_endpoint_changes_pending`)).toBe(1);
    metrics.taken();
    expect(await value(`${sync}_service_changes_total`)).toBe(3);
    expect(await value(`${sync}_service_changes_pending`)).toBe(0);
    expect(await value(`${sync}_endpoint_changes_pending`)).toBe(0);
  });
});

describe('writes', () => {
  const REFUSED = {
    iptables: ['iptables_restore_failures_total', 'iptables_restore_failures_total'],
    ipvs: ['iptables_restore_failures_total', 'iptables_restore_failures_total'],
    nftables: ['nftables_sync_failures_total', 'nftables_cleanup_failures_total'],
  } as const;

  it.each(['iptables', 'ipvs', 'nftables'] as const)('that fail are counted in mode %s', async (mode) => {
    const { metrics, value } = metricsOf(mode);
    const [additions, removals] = REFUSED[mode];
    metrics.refused('IPv4', false);
    expect(await value(`${sync}_${additions}${V4}`)).toBe(1);
    metrics.refused('IPv4', true);
    expect(await value(`${sync}_${removals}${V4}`)).toBe(additions === removals ? 2 : 1);
    expect(await value(`${sync}_${additions}${V6}`)).toBe(0);
    expect(await value('pointsman_kernel_transactions_total{ip_family="IPv4",result="refused"}')).toBe(2);
  });

  it('that succeed are counted with their objects', async () => {
    const { metrics, value } = metricsOf('nftables');
    metrics.written('IPv4', { added: 5, replaced: 0, removed: 2 });
    metrics.written('IPv4', { added: 1, replaced: 1, removed: 0 });
    const objects = (op: string) => value(`pointsman_objects_written_total{ip_family="IPv4",op="${op}"}`);
    expect([await objects('add'), await objects('replace'), await objects('remove')]).toEqual([6, 1, 2]);
    expect(await value('pointsman_kernel_transactions_total{ip_family="IPv4",result="written"}')).toBe(2);
  });
});

describe('rules of iptables', () => {
  const of = (what: string, family: string, table: string): string =>
    `${sync}_iptables_${what}{ip_family="${family}",table="${table}"}`;

  it('are shown by table: those there are, and those that the last sync wrote', async () => {
    const rules = new Map([
      [
        'IPv4',
        new Map([
          ['nat', 40],
          ['mangle', 3],
        ]),
      ],
    ] as const);
    const { metrics, value } = metricsOf('iptables', { rules });
    expect(await value(of('total', 'IPv4', 'nat'))).toBe(40);
    expect(await value(of('total', 'IPv4', 'filter'))).toBe(0);
    expect(await value(of('total', 'IPv6', 'nat'))).toBe(0);
    expect(await value(of('total', 'IPv4', 'mangle'))).toBeUndefined();
    metrics.rulesWritten('IPv4', new Map([['nat', 7]]));
    expect(await value(of('last', 'IPv4', 'nat'))).toBe(7);
    expect(await value(of('last', 'IPv4', 'filter'))).toBe(0);
    metrics.rulesWritten('IPv4', new Map([['filter', 1]]));
    expect(await value(of('last', 'IPv4', 'nat'))).toBe(0);
  });

  it('are not shown in other modes', async () => {
    const { metrics, value } = metricsOf('nftables', { rules: new Map([['IPv4', new Map([['nat', 1]])]]) });
    metrics.rulesWritten('IPv4', new Map([['nat', 7]]));
    expect(await value(of('total', 'IPv4', 'nat'))).toBeUndefined();
  });
});

describe('the rest', () => {
  it('drift is counted by what was wrong', async () => {
    const { metrics, value } = metricsOf('nftables');
    metrics.drifted('IPv4', { missing: ['a', 'b'], changed: [], foreign: ['c'] });
    metrics.drifted('IPv4', { missing: ['a'], changed: ['d'], foreign: [] });
    const drift = (kind: string) => value(`pointsman_drift_objects_total{ip_family="IPv4",kind="${kind}"}`);
    expect([await drift('missing'), await drift('changed'), await drift('foreign')]).toEqual([3, 1, 1]);
  });

  it('stale flows are counted with the time it took to find them', async () => {
    const { metrics, value } = metricsOf('nftables');
    metrics.flowsCleaned('IPv4', 0.5, 7);
    metrics.flowsCleaned('IPv4', 0.25, 0);
    expect(await value(`kubeproxy_conntrack_reconciler_sync_duration_seconds_sum${V4}`)).toBe(0.75);
    expect(await value(`kubeproxy_conntrack_reconciler_deleted_entries_total${V4}`)).toBe(7);
  });

  it('probes are counted by their answer', async () => {
    const { metrics, value } = metricsOf('nftables');
    metrics.probed('healthz', 503);
    expect(await value('kubeproxy_proxy_healthz_total{code="503"}')).toBe(1);
    expect(await value('kubeproxy_proxy_healthz_total{code="200"}')).toBe(0);
    expect(await value('kubeproxy_proxy_livez_total{code="503"}')).toBe(0);
  });

  it('what stands is looked at as it is asked for, and can go down', async () => {
    const watches = { Service: { relists: 2, watchRestarts: 3, lastEventAt: CLOCK - 1_500 } };
    const never = { Node: { relists: 0, watchRestarts: 0, lastEventAt: 0 } };
    const malformed: 'Service'[] = ['Service', 'Service'];
    const { value } = metricsOf('nftables', {
      quarantined: new Map([['IPv4', 4]]),
      watches: { ...watches, ...never },
      malformed,
      skipped: 9,
    });
    for (let scrape = 0; scrape < 2; scrape += 1) {
      expect(await value(`pointsman_quarantined_owners${V4}`)).toBe(4);
      expect(await value('pointsman_watch_relists_total{kind="Service"}')).toBe(2);
      expect(await value('pointsman_watch_restarts_total{kind="Service"}')).toBe(3);
      expect(await value('pointsman_watch_last_event_age_seconds{kind="Service"}')).toBe(1.5);
      expect(await value('pointsman_watch_last_event_age_seconds{kind="Node"}')).toBeUndefined();
      expect(await value('pointsman_malformed_objects{kind="Service"}')).toBe(2);
      expect(await value('pointsman_skipped_objects_total')).toBe(9);
    }
    malformed.pop();
    expect(await value('pointsman_malformed_objects{kind="Service"}')).toBe(1);
  });

  it('says which version this is, in which mode', async () => {
    expect(await metricsOf('ipvs').value('pointsman_build_info{mode="ipvs",version="1.2.3"}')).toBe(1);
  });
});
