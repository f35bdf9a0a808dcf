/**
 * The conformance table with real packets in mode nftables: the program as it would run, an API server over HTTP, pods on
 * two nodes. Over IPv4 and IPv6, TCP and UDP. No program of nftables' is needed.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { barrierObjects, barriers, check, groups, numberedCases, type Patience } from '../conformance/packets.ts';
import { destinationOf, objectsOf } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { describeWith, LAB_NEEDS } from './requires.ts';

/** 48 tries see each of four endpoints but for once in 300,000 probes. */
const PATIENCE: Patience = { tries: 48, silentMs: 400, refusedMs: 2_500 };
const TRANSPORTS = (['IPv4', 'IPv6'] as const).flatMap((family) =>
  (['TCP', 'UDP'] as const).map((protocol) => ({ family, protocol })),
);
const MODE = '--proxy-mode=nftables';
/** In this mode NodePorts answer on the node's first address only, unless they are told otherwise. */
const EVERYWHERE = '0.0.0.0/0,::/0';
const cases = numberedCases();

describeWith(LAB_NEEDS, 'real packets', () => {
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
      const given = { 'nodeport-addresses': EVERYWHERE, ...flags };
      const args = Object.entries(given).map(([flag, value]) => `--${flag}=${value}`);
      proxy = bench.cluster.startProxy('node1', [...args, MODE]);
      await proxy.said(/"ipFamily":"IPv6","fullSync":true/);
      await proxy.said(/"ipFamily":"IPv4","fullSync":true/);
      await bench.cluster.put(objects);
      for (const v of barriers) {
        await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', ...destinationOf('cluster', v) });
      }
    });

    it.each(all)('nftables $variant.family $variant.protocol: $title', async ({ row, variant: v }) => {
      await Promise.all(row.probes.map((probe) => check(bench, probe, v, PATIENCE)));
    });

    it('stops, and cleans up after itself', async () => {
      expect(await proxy?.stop()).toBe(0);
      await bench.cluster.delete(objects);
      const main = new URL('../../dist/main.js', import.meta.url).pathname;
      const first = await bench.lab.run('node1', process.execPath, [main, 'cleanup', MODE]);
      expect(first.stdout).toContain('IPv4 table');
      const second = await bench.lab.run('node1', process.execPath, [main, 'cleanup', MODE]);
      expect(second.stdout).toBe('');
    });
  }
});
