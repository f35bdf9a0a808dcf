/** The metrics of a real proxy, scraped as Prometheus does: they move with what happens, and say what the kernel holds. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Family, faults, parseExposition } from '../observe/exposition.ts';
import { type Bench, saved, startBench, untilAnswered } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const endpoints = [{ on: 'pod1' }, { on: 'remote1' }] as const;
const target = (number: number) => ({ protocol: 'tcp' as const, host: `10.96.1.${number}`, port: 80 });
const PATIENCE = { timeout: 15_000, interval: 100 };
const SCRAPE = `process.stdout.write(await (await fetch('http://127.0.0.1:10249' + process.argv[1])).text())`;
const TABLES = ['filter', 'nat'] as const;
/** Rules of these are not ours alone, or lead from what is not ours. */
const BUILT_IN = /^(INPUT|OUTPUT|FORWARD|PREROUTING|POSTROUTING)$/;

type Page = ReadonlyMap<string, Family>;
type Labels = Readonly<Record<string, string>>;

/** Of one series in family IPv4. */
const sampleOf = (page: Page, name: string, labels: Labels = {}): number | undefined => {
  const samples = [...page.values()].flatMap((family) => family.samples).filter((sample) => sample.name === name);
  const wanted = Object.entries({ ...(samples[0] && 'ip_family' in samples[0].labels ? V4 : {}), ...labels });
  return samples.find((sample) => wanted.every(([label, value]) => sample.labels[label] === value))?.value;
};
const V4: Labels = { ip_family: 'IPv4' };

/** By table: the rules of our chains, and those that lead to them. */
const rulesIn = (listing: string): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  let table = '';
  for (const line of listing.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const [, chain = '', target = ''] = /^-A (\S+).* -j (\S+)/.exec(line) ?? /^-A (\S+)()/.exec(line) ?? [];
    const isOurs = chain.startsWith('KUBE-') || (BUILT_IN.test(chain) && target.startsWith('KUBE-'));
    if (isOurs) counts[table] = (counts[table] ?? 0) + 1;
  }
  return counts;
};

describeWith([...LAB_NEEDS, program('iptables-nft')], 'a scrape', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
  });
  afterAll(() => bench?.remove());
  afterEach(async () => {
    await proxy?.stop('SIGKILL');
    proxy = undefined;
  });

  const page = async (path: string): Promise<string> => {
    const args = ['--input-type=module', '-e', SCRAPE, path];
    return (await bench.lab.run('node1', process.execPath, args)).stdout;
  };
  const scrape = async (): Promise<Page> => parseExposition(`${await page('/metrics')}\n`);
  const value = async (name: string, labels: Labels = {}): Promise<number> =>
    sampleOf(await scrape(), name, labels) ?? Number.NaN;
  const rules = (listing: string) => async (): Promise<void> => {
    const scraped = await scrape();
    const shown = TABLES.map((table) => sampleOf(scraped, 'kubeproxy_sync_proxy_rules_iptables_total', { table }));
    const held = rulesIn(listing);
    expect(shown).toEqual(TABLES.map((table) => held[table] ?? 0));
  };
  const listed = (): Promise<string> => saved(bench.lab, 'iptables-nft');

  it('in mode iptables moves with a start, a change, a failure and drift', async () => {
    const bin = join(bench.cluster.folder, 'bin');
    const wrapper = join(bin, 'iptables-nft-restore');
    const real = '#!/bin/sh\nexec /usr/sbin/iptables-nft-restore "$@"\n';
    await bench.lab.run('node1', 'mkdir', ['-p', bin]);
    await writeFile(wrapper, real, { mode: 0o755 });
    await bench.cluster.put(objectsOf('one', { nodePort: true, endpoints }, v4(1)));
    const flags = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '--iptables-sync-period=2s', '--iptables-tool=nft'];
    proxy = bench.cluster.startProxy('node1', flags, { env: { PATH: `${bin}:${process.env.PATH}` } });
    await untilAnswered(bench.lab, 'pod3', target(1));

    // a start
    await vi.waitFor(
      async () => expect(await value('kubeproxy_sync_proxy_rules_duration_seconds_count')).toBe(1),
      PATIENCE,
    );
    const first = await scrape();
    expect(faults(first)).toEqual([]);
    expect(sampleOf(first, 'kubeproxy_sync_full_proxy_rules_duration_seconds_count')).toBe(1);
    const total = { filter: rulesIn(await listed()).filter ?? 0, nat: rulesIn(await listed()).nat ?? 0 };
    expect(total.nat).toBeGreaterThan(5);
    await rules(await listed())();
    for (const table of TABLES) {
      // all of it was new
      expect(sampleOf(first, 'kubeproxy_sync_proxy_rules_iptables_last', { table })).toBeLessThanOrEqual(total[table]);
      expect(sampleOf(first, 'kubeproxy_sync_proxy_rules_iptables_last', { table })).toBeGreaterThan(total[table] - 5);
    }

    // a change
    await bench.cluster.put(objectsOf('two', { endpoints }, v4(2)));
    await untilAnswered(bench.lab, 'pod3', target(2));
    await vi.waitFor(async () => rules(await listed())(), PATIENCE);
    const second = await scrape();
    expect(rulesIn(await listed()).nat).toBeGreaterThan(total.nat);
    const written = sampleOf(second, 'kubeproxy_sync_proxy_rules_iptables_last', { table: 'nat' });
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(total.nat);
    const partial = 'kubeproxy_sync_partial_proxy_rules_duration_seconds_count';
    expect(sampleOf(second, partial)).toBeGreaterThan(0);
    expect(sampleOf(second, 'kubeproxy_sync_proxy_rules_service_changes_total')).toBeGreaterThanOrEqual(2);

    // a failure
    const failures = 'kubeproxy_sync_proxy_rules_iptables_restore_failures_total';
    expect(sampleOf(second, failures)).toBe(0);
    const succeededAt = sampleOf(second, 'kubeproxy_sync_proxy_rules_last_timestamp_seconds') ?? 0;
    expect(sampleOf(second, 'pointsman_quarantined_owners')).toBe(0);
    await writeFile(wrapper, '#!/bin/sh\necho "no" >&2\nexit 2\n', { mode: 0o755 });
    await bench.cluster.put(objectsOf('three', { endpoints }, v4(3)));
    await vi.waitFor(async () => expect(await value(failures)).toBeGreaterThan(0), PATIENCE);
    await vi.waitFor(async () => expect(await value('pointsman_quarantined_owners')).toBe(1), PATIENCE);
    await writeFile(wrapper, real, { mode: 0o755 });
    await untilAnswered(bench.lab, 'pod3', target(3));
    await vi.waitFor(async () => rules(await listed())(), PATIENCE);
    await vi.waitFor(async () => expect(await value('pointsman_quarantined_owners')).toBe(0), PATIENCE);
    expect(await value('kubeproxy_sync_proxy_rules_last_timestamp_seconds')).toBeGreaterThan(succeededAt);

    // drift
    const drift = async (): Promise<number> => value('pointsman_drift_objects_total', { kind: 'changed' });
    const before = await drift();
    const whole = await listed();
    await bench.lab.run('node1', 'iptables-nft', ['-t', 'nat', '-F', 'KUBE-SERVICES']);
    await vi.waitFor(async () => expect(await drift()).toBeGreaterThan(before), PATIENCE);
    await rules(whole)();
    expect(rulesIn(await listed())).toEqual(rulesIn(whole));

    // nothing is left
    await bench.cluster.delete(['one', 'two', 'three'].flatMap((name, i) => objectsOf(name, { endpoints }, v4(i + 1))));
    await vi.waitFor(async () => {
      expect(rulesIn(await listed()).nat).toBeLessThan(total.nat);
      await rules(await listed())();
    }, PATIENCE);
  });

  it('shows the other pages too', async () => {
    proxy = bench.cluster.startProxy('node1', ['--proxy-mode=nftables', '--profiling']);
    await vi.waitFor(async () => expect(await page('/healthz?verbose')).toContain('[+]ping ok'), PATIENCE);
    expect(await page('/flagz')).toMatch(/^proxy-mode=nftables$/m);
    expect(await page('/statusz')).toMatch(/^Paths: .*\/debug .*\/statusz/m);
    expect(faults(parseExposition(`${await page('/metrics/slis')}\n`))).toEqual([]);
    const profile = JSON.parse(await page('/debug/pprof/profile?seconds=0.2')) as {
      readonly nodes: readonly unknown[];
    };
    expect(profile.nodes.length).toBeGreaterThan(5);
  });
});
