/** The conformance table with real packets in mode ipvs. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { barrierObjects, barriers, check, groups, numberedCases, type Patience } from '../conformance/packets.ts';
import { destinationOf, objectsOf } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from '../kernel/cluster.ts';

/** Round robin shows each of four endpoints soon, but parallel probes of one row share the virtual server. */
const PATIENCE: Patience = { tries: 16, silentMs: 3_000, refusedMs: 8_000 };
const TRANSPORTS = (['IPv4', 'IPv6'] as const).flatMap((family) =>
  (['TCP', 'UDP'] as const).map((protocol) => ({ family, protocol })),
);
const ANSWER_MS = 120_000;
const cases = numberedCases();

let bench: Bench;
let proxy: NodeProxy | undefined;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench?.remove());

for (const { flags, rows } of groups) {
  const all = cases(rows, TRANSPORTS);
  const objects = [...all.flatMap((c, i) => objectsOf(`row-${i}`, c.row.service, c.variant)), ...barrierObjects];

  it(`starts with ${JSON.stringify(flags)}`, async () => {
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    proxy = bench.cluster.startProxy('node1', ['--proxy-mode=ipvs', ...args]);
    await proxy.said(/"ipFamily":"IPv6","fullSync":true/, ANSWER_MS);
    await proxy.said(/"ipFamily":"IPv4","fullSync":true/, ANSWER_MS);
    await bench.cluster.put(objects);
    for (const v of barriers) {
      await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', ...destinationOf('cluster', v) }, ANSWER_MS);
    }
  });

  it.each(all)('$variant.family $variant.protocol: $title', async ({ row, variant }) => {
    for (const probe of row.probes) await check(bench, probe, variant, PATIENCE);
  });

  it('stops, and cleans up after itself', async () => {
    expect(await proxy?.stop()).toBe(0);
    await bench.cluster.delete(objects);
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup', '--proxy-mode=ipvs'], { timeoutMs: 60_000 });
    for (const tool of ['iptables-save', 'ip6tables-save', 'ipset']) {
      const { stdout } = await bench.lab.run('node1', tool, tool === 'ipset' ? ['save'] : []);
      expect(stdout).not.toContain('KUBE');
    }
    expect((await bench.lab.run('node1', 'ipvsadm', ['-Sn'])).stdout).toBe('');
    // what was written is what was read back, whenever it was looked at
    const trouble = proxy
      ?.log()
      .split('\n')
      .filter((line) => /drift|WARN|ERROR/.test(line));
    expect(trouble).toEqual([]);
  });
}
