/** Traffic metrics of Services in the modes that run on any kernel; mode ipvs has its own in User Mode Linux. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';
import { countedOf, scrape, trafficTests } from '../conformance/traffic.ts';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { inside } from './nft-namespace.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MODES = [
  { mode: 'nftables', title: 'nftables', flags: ['--proxy-mode=nftables'] },
  { mode: 'iptables', title: 'iptables-nft', flags: ['--iptables-tool=nft'] },
  { mode: 'iptables', title: 'iptables-legacy', flags: ['--iptables-tool=legacy'] },
] as const;
const COMMON = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '-v=2'];
const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const NFTABLES = [...COMMON, '--proxy-mode=nftables'];
const COUNTING = '--service-metrics=100';

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'traffic metrics', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
  });
  afterAll(() => bench?.remove());

  const start = async (flags: readonly string[]): Promise<NodeProxy> => {
    const started = bench.cluster.startProxy('node1', flags);
    proxy = started;
    for (const family of ['IPv4', 'IPv6'])
      await started.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true`));
    return started;
  };

  const cleanUp = async (flags: readonly string[]): Promise<void> => {
    await proxy?.stop();
    proxy = undefined;
    await bench.lab.run('node1', process.execPath, [MAIN, 'cleanup', ...flags]);
  };

  describe.each(MODES.map((one, i) => ({ ...one, first: 1 + i * 10 })))(
    'in $title',
    ({ mode, title, flags, first }) => {
      beforeAll(async () => {
        await start([...COMMON, ...flags, COUNTING]);
      });
      afterAll(() => cleanUp(flags));

      trafficTests(mode, title, () => ({ bench, patienceMs: 20_000, first }));
    },
  );

  describe('in mode nftables', () => {
    let nftables: Nftables;
    beforeAll(() => {
      nftables = inside(bench.lab.host('node1').namespace, () => Nftables.open());
    });
    afterAll(() => nftables?.close());
    afterEach(() => cleanUp(['--proxy-mode=nftables']));

    const variant: Variant = { family: 'IPv4', protocol: 'TCP', number: 50 };
    const target = { protocol: 'tcp', host: '10.96.1.50', port: 80 } as const;
    /** Counting begins with the first reading: what went through before is not in the numbers. */
    const startCounting = async (): Promise<NodeProxy> => {
      const started = await start([...NFTABLES, COUNTING]);
      const readings = async (): Promise<unknown> =>
        (await scrape(bench)).get('pointsman_service_traffic_read_timestamp_seconds')?.samples;
      await expect.poll(readings, { timeout: 20_000 }).toHaveLength(2);
      return started;
    };
    const serve = async (): Promise<void> => {
      await bench.cluster.put(objectsOf('kept', { nodePort: true, endpoints: [{ on: 'pod1' }] }, variant));
      await untilAnswered(bench.lab, 'pod3', target);
    };

    /** What of a table is there for counting. */
    const counting = (): readonly string[] => {
      const { sets = [], chains = [] } = nftables.list('ip', 'kube-proxy') ?? {};
      const names = [...sets.map(({ declaration }) => declaration.name), ...chains.map(({ name }) => name)];
      return names.filter((name) => /traffic|count/.test(name)).sort();
    };

    it('nothing is there without the flag, and what was there goes with a restart without it', async () => {
      await start(NFTABLES);
      await serve();
      expect(counting()).toEqual([]);
      expect([...(await scrape(bench)).keys()].filter((name) => name.startsWith('pointsman_service_'))).toEqual([]);
      await proxy?.stop('SIGKILL');
      await start([...NFTABLES, COUNTING]);
      await expect.poll(counting).toHaveLength(6 + 8);
      await proxy?.stop('SIGKILL');
      await start(NFTABLES);
      await expect.poll(counting).toEqual([]);
      await untilAnswered(bench.lab, 'pod3', target);
    });

    it('a restart writes nothing, and the numbers begin at 0 again', async () => {
      await startCounting();
      await serve();
      const agent = await bench.lab.agent('pod3');
      await agent.probe({ ...target, tries: 9 });
      const connections = async (): Promise<number | undefined> => (await countedOf(bench, 'kept'))?.connections;
      await expect.poll(connections, { timeout: 5_000 }).toBeGreaterThanOrEqual(9);
      await proxy?.stop('SIGKILL');
      const restarted = await startCounting();
      await restarted.waitForLog(/"ipFamily":"IPv4","fullSync":true,.*"added":0,"replaced":0,"removed":0/);
      expect(await connections()).toBe(0);
      await agent.probe({ ...target, tries: 3 });
      await expect.poll(connections, { timeout: 5_000 }).toBe(3);
    });

    it('what the node sends to itself is counted once, on its way out', async () => {
      const udp: Variant = { family: 'IPv4', protocol: 'UDP', number: 51 };
      const to = { protocol: 'udp', host: '10.96.1.51', port: 80 } as const;
      const [service, slice] = objectsOf('itself', { endpoints: [{ on: 'pod1' }] }, udp);
      const own = { ...slice, endpoints: [{ addresses: ['10.250.0.1'], nodeName: 'node1' }] };
      await startCounting();
      await bench.cluster.put([service, own].flatMap((object) => object ?? []) as never);
      const agent = await bench.lab.agent('node1');
      const server = await agent.serve({ protocol: 'udp', port: 8080, host: '10.250.0.1', name: 'node1' });
      const counted = (): ReturnType<typeof countedOf> => countedOf(bench, 'itself');
      try {
        await untilAnswered(bench.lab, 'node1', to);
        const tries = 7;
        const outcomes = await agent.probe({ ...to, tries });
        expect(outcomes.filter(({ kind }) => kind !== 'answer')).toEqual([]);
        await expect.poll(async () => (await counted())?.connections, { timeout: 5_000 }).toBeGreaterThan(tries);
        const { connections = 0, packetsIn, packetsOut } = (await counted()) ?? {};
        expect([packetsIn, packetsOut]).toEqual([connections, connections]);
      } finally {
        await server.stop();
      }
    });

    it('a flush of the table costs no more than what was counted since the last reading', async () => {
      await startCounting();
      await serve();
      const agent = await bench.lab.agent('pod3');
      await agent.probe({ ...target, tries: 5 });
      const connections = async (): Promise<number | undefined> => (await countedOf(bench, 'kept'))?.connections;
      await expect.poll(connections, { timeout: 5_000 }).toBeGreaterThanOrEqual(5);
      const before = (await connections()) ?? 0;
      nftables.run([{ delete: { table: { family: 'ip', name: 'kube-proxy' } } }]);
      await expect.poll(counting, { timeout: 5_000 }).toHaveLength(6 + 8);
      await agent.probe({ ...target, tries: 4 });
      await expect.poll(connections, { timeout: 5_000 }).toBe(before + 4);
      expect(proxy?.log()).not.toMatch(/\bERROR\b/);
    });
  });
});
