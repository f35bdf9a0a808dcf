/**
 * The program in mode nftables on a real node: restarts, what others do to its table, affinity, a missing right. No program
 * of nftables' is needed: where something is done to the table from outside, it is done over netlink.
 */
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';
import { formatElement, formatStatements } from '../../src/nftables-json/text.ts';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { inside } from './nft-namespace.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const endpoints = [{ on: 'pod1' }, { on: 'remote1' }] as const;
const target = (number: number) => ({ protocol: 'tcp' as const, host: `10.96.1.${number}`, port: 80 });
/** So long a sync period that nothing is repaired by it. */
const FLAGS = [
  '--proxy-mode=nftables',
  '--cluster-cidr=10.200.0.0/16,fd20::/48',
  '--nodeport-addresses=0.0.0.0/0,::/0',
  '--iptables-sync-period=1h',
  '-v=2',
];
const TABLE = { family: 'ip', name: 'kube-proxy' } as const;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describeWith([...LAB_NEEDS, program('setpriv')], 'mode nftables on a real node', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  let nftables: Nftables;
  beforeAll(async () => {
    bench = await startBench();
    nftables = inside(bench.lab.host('node1').namespace, () => Nftables.open());
  });
  afterAll(async () => {
    nftables?.close();
    await bench?.remove();
  });
  afterEach(async () => {
    await proxy?.stop('SIGKILL');
    proxy = undefined;
  });

  /** Started, and what it found at start is in the kernel. */
  const start = async (): Promise<NodeProxy> => {
    const started = bench.cluster.startProxy('node1', FLAGS);
    proxy = started;
    await started.waitForLog(/"ipFamily":"IPv6","fullSync":true.*\n/);
    await started.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/);
    return started;
  };

  /** The whole table as text, in no order of the kernel's. */
  const listed = async (): Promise<readonly string[]> => {
    const listing = nftables.list(TABLE.family, TABLE.name);
    const lines = (listing?.rules ?? []).map(({ chain, expr }) => `${chain}: ${formatStatements(expr)}`);
    for (const { declaration } of listing?.sets ?? []) {
      if (declaration.name === 'affinity') continue;
      await nftables.visit(declaration, (element) => lines.push(`${declaration.name}: ${formatElement(element)}`));
    }
    return lines.sort();
  };

  const sets = () => (nftables.list(TABLE.family, TABLE.name)?.sets ?? []).map(({ declaration }) => declaration);

  it('kill -9 and restart under load fail no connection and write nothing', async () => {
    await bench.cluster.put(objectsOf('restart', { nodePort: true, endpoints }, v4(2)));
    proxy = await start();
    await untilAnswered(bench.lab, 'pod3', target(2));
    const held = await (await bench.lab.agent('pod3')).hold({ ...target(2), timeoutMs: 2_000 });
    const loads = await Promise.all(
      (['pod3', 'outside'] as const).map(async (from) =>
        (await bench.lab.agent(from)).load({ ...target(2), parallel: 4, pauseMs: 2, timeoutMs: 2_000 }),
      ),
    );
    const before = await listed();
    for (let i = 0; i < 3; i += 1) {
      await proxy.stop('SIGKILL');
      await sleep(100);
      proxy = await start();
      await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true,.*"added":0,"replaced":0,"removed":0/);
      await proxy.waitForLog(/"ipFamily":"IPv6","fullSync":true,.*"added":0,"replaced":0,"removed":0/);
    }
    expect(await listed()).toEqual(before);
    for (const load of loads) {
      const { tries, answers, failures } = await load.stop();
      expect(failures).toEqual({});
      expect(answers).toBe(tries);
      expect(answers).toBeGreaterThan(100);
    }
    expect(await held.stop()).toMatchObject({ alive: true });
  });

  it('an endpoint that comes and one that goes fail no connection, and slots survive a restart', async () => {
    const [service, slice] = [0, 1].map((i) => objectsOf('moving', { endpoints }, v4(3))[i]);
    const three = objectsOf('moving', { endpoints: [...endpoints, { on: 'pod2' }] }, v4(3))[1];
    await bench.cluster.put([service, slice].flatMap((object) => object ?? []));
    proxy = await start();
    await untilAnswered(bench.lab, 'pod3', target(3));
    const load = await (await bench.lab.agent('pod3')).load({
      ...target(3),
      parallel: 4,
      pauseMs: 1,
      timeoutMs: 2_000,
    });
    for (let i = 0; i < 20; i += 1) {
      await bench.cluster.put([three, slice].slice(i % 2, (i % 2) + 1).flatMap((object) => object ?? []));
      await sleep(50);
      if (i !== 10) continue;
      await proxy.stop('SIGKILL');
      proxy = await start();
    }
    const { tries, answers, failures } = await load.stop();
    expect(failures).toEqual({});
    expect(answers).toBe(tries);
    expect(answers).toBeGreaterThan(100);
  });

  it.each([['idle'], ['under a stream of changes']])(
    'repairs a flush of the whole ruleset within a second, %s',
    async (how) => {
      const objects = objectsOf('flush', { nodePort: true, endpoints }, v4(4));
      await bench.cluster.put(objects);
      proxy = await start();
      await untilAnswered(bench.lab, 'pod3', target(4));
      const before = await listed();
      let isOver = how === 'idle';
      const stream = (async () => {
        for (let i = 0; !isOver; i += 1) {
          await bench.cluster.put(
            objectsOf('stream', { endpoints: i % 2 === 0 ? endpoints : [{ on: 'pod2' }] }, v4(5)),
          );
          await sleep(20);
        }
      })();
      await sleep(200);
      const load = await (await bench.lab.agent('pod3')).load({
        ...target(4),
        parallel: 4,
        pauseMs: 2,
        timeoutMs: 300,
      });
      // what `nft flush ruleset` does
      for (const family of ['ip', 'ip6'] as const) nftables.run([{ delete: { table: { family, name: TABLE.name } } }]);
      await untilAnswered(bench.lab, 'pod3', target(4), 1_000);
      await proxy.waitForLog(/drift found and repaired.*"ipFamily":"IPv4",.*"sinceStart":\d{2,}/);
      await proxy.waitForLog(/drift found and repaired.*"ipFamily":"IPv6",.*"sinceStart":\d{2,}/);
      isOver = true;
      await stream;
      await sleep(300);
      expect((await load.stop()).answers).toBeGreaterThan(50);
      await bench.cluster.delete(how === 'idle' ? [] : objectsOf('stream', { endpoints }, v4(5)));
      await sleep(300);
      // but for classes that nobody is in: they stay until somebody takes them away
      const after = await listed();
      const isOfClass = (line: string): boolean => /^\S*(pick|sticky)-\d+: /.test(line);
      expect(before.filter((line) => !isOfClass(line) && !after.includes(line))).toEqual([]);
    },
  );

  it('finds a changed element, a foreign rule and a foreign chain, and repairs just those', async () => {
    await bench.cluster.put(objectsOf('drift', { nodePort: true, endpoints }, v4(6)));
    proxy = await start();
    await untilAnswered(bench.lab, 'pod3', target(6));
    const before = await listed();
    const place = { family: TABLE.family, table: TABLE.name };
    const key = { concat: ['10.96.1.6', 'tcp', 80] };
    nftables.run(
      [
        { delete: { element: { ...place, name: 'service-ips', elem: [key] } } },
        { add: { element: { ...place, name: 'service-ips', elem: [[key, { drop: null }]] } } },
        { add: { rule: { ...place, chain: 'services', expr: [{ drop: null }] } } },
        { add: { chain: { ...place, name: 'theirs' } } },
      ],
      { sets: sets() },
    );
    await proxy.waitForLog(/"missing":0,"changed":2,"foreign":1,"sinceStart":3,/);
    await untilAnswered(bench.lab, 'pod3', target(6), 1_000);
    expect(await listed()).toEqual(before);
  });

  it('leaves the tables of others alone, and does not look at its own for them', async () => {
    await bench.cluster.put(objectsOf('others', { endpoints }, v4(7)));
    proxy = await start();
    await untilAnswered(bench.lab, 'pod3', target(7));
    const theirs = { family: 'ip', name: 'theirs' } as const;
    nftables.run([
      { add: { table: theirs } },
      { add: { chain: { family: 'ip', table: 'theirs', name: 'input' } } },
      { add: { rule: { family: 'ip', table: 'theirs', chain: 'input', expr: [{ drop: null }] } } },
    ]);
    await sleep(500);
    expect(proxy.log()).not.toContain('drift');
    expect(await proxy.stop()).toBe(0);
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup', '--proxy-mode=nftables']);
    expect(nftables.list('ip', 'theirs')?.rules).toHaveLength(1);
    expect(nftables.list(TABLE.family, TABLE.name)).toBeUndefined();
    nftables.run([{ delete: { table: theirs } }]);
  });

  it('keeps a client with its endpoint, and lets it go elsewhere when the endpoint is gone', async () => {
    const spec = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } };
    const all = [{ on: 'pod1' }, { on: 'pod2' }, { on: 'remote1' }] as const;
    await bench.cluster.put(objectsOf('sticky', { spec, endpoints: all }, v4(8)));
    proxy = await start();
    await untilAnswered(bench.lab, 'pod3', target(8));
    const client = await bench.lab.agent('pod3');
    const reached = async (): Promise<readonly string[]> => {
      const outcomes = await client.probe({ ...target(8), tries: 24 });
      return [...new Set(outcomes.map((outcome) => (outcome.kind === 'answer' ? outcome.server : outcome.kind)))];
    };
    const [first, ...more] = await reached();
    expect(more).toEqual([]);
    await bench.cluster.put(
      objectsOf('sticky', { spec, endpoints: all.filter(({ on }) => on !== first) }, v4(8)).slice(1),
    );
    // its first packet may be dropped where the endpoint is not forgotten yet
    const second = await vi.waitFor(
      async () => {
        const [one, ...others] = await reached();
        expect(others).toEqual([]);
        expect([first, 'timeout']).not.toContain(one);
        return one;
      },
      { timeout: 10_000 },
    );
    // it stays there when the former is back
    await bench.cluster.put(objectsOf('sticky', { spec, endpoints: all }, v4(8)).slice(1));
    await sleep(200);
    expect(await reached()).toEqual([second]);
  });

  it('says what right it lacks, and touches nothing', async () => {
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    const command = ['--bounding-set=-net_admin', process.execPath, main, 'cleanup', '--proxy-mode=nftables'];
    const { exitCode, stderr } = await bench.lab.run('node1', 'setpriv', command, { reject: false });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('mode nftables needs root, or the capability CAP_NET_ADMIN');
  });
});
