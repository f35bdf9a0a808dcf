/**
 * From one mode to another, and from kube-proxy's rules to ours, under load: what was there serves until ours do, no connection
 * fails, and nothing of it is left.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';
import { NODE_OBJECT, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { inside } from './nft-namespace.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '-v=2'];
const MODES = {
  iptables: ['--proxy-mode=iptables', '--iptables-tool=nft'],
  nftables: ['--proxy-mode=nftables', '--nodeport-addresses=0.0.0.0/0,::/0'],
} as const;
type Mode = keyof typeof MODES;
const VARIANT: Variant = { family: 'IPv4', protocol: 'TCP', number: 200 };
const SERVICE = objectsOf('switched', { nodePort: true, endpoints: [{ on: 'pod1' }, { on: 'remote1' }] }, VARIANT);
const TARGET = { protocol: 'tcp' as const, host: '10.96.1.200', port: 80 };
const RECORDED = new URL('../fixtures/kube-proxy-1.36.2/', import.meta.url);
/** Of the recorded objects: one endpoint, which is pod1. */
const RECORDED_TARGET = { protocol: 'tcp' as const, host: '10.96.1.1', port: 80 };

interface Recorded {
  readonly kind: string;
  readonly metadata: object;
}

const recordedObjects = (): readonly Recorded[] => {
  const parsed = JSON.parse(readFileSync(new URL('objects.json', RECORDED), 'utf8')) as
    | Recorded[]
    | { items: Recorded[] };
  const all = Array.isArray(parsed) ? parsed : parsed.items;
  return all.filter(({ kind }) => kind === 'Service' || kind === 'EndpointSlice');
};

describeWith([...LAB_NEEDS, program('iptables-nft')], 'a change of mode', () => {
  let bench: Bench;
  let nftables: Nftables;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
    nftables = inside(bench.lab.host('node1').namespace, () => Nftables.open());
    await bench.cluster.put([NODE_OBJECT]);
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    nftables?.close();
    await bench?.remove();
  });

  const start = async (mode: Mode): Promise<NodeProxy> => {
    const started = bench.cluster.startProxy('node1', [...FLAGS, ...MODES[mode]]);
    proxy = started;
    for (const family of ['IPv4', 'IPv6'])
      await started.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true`));
    return started;
  };

  const chains = async (): Promise<string> =>
    (await bench.lab.run('node1', 'iptables-nft-save')).stdout.replace(/^.*KUBE-FIREWALL.*\n/gm, '');

  const isGone = async (mode: Mode): Promise<boolean> =>
    mode === 'nftables' ? nftables.list('ip', 'kube-proxy') === undefined : !(await chains()).includes('KUBE-');

  it.each([
    ['iptables', 'nftables'],
    ['nftables', 'iptables'],
  ] as const)('from %s to %s', async (from, to) => {
    await bench.cluster.put(SERVICE);
    await start(from);
    await untilAnswered(bench.lab, 'pod3', TARGET);
    expect(await isGone(from)).toBe(false);
    const held = await (await bench.lab.agent('pod3')).hold({ ...TARGET, timeoutMs: 2_000 });
    const loads = await Promise.all(
      (['pod3', 'outside'] as const).map(async (host) =>
        (await bench.lab.agent(host)).load({ ...TARGET, parallel: 4, pauseMs: 2, timeoutMs: 2_000 }),
      ),
    );
    expect(await proxy?.stop()).toBe(0);
    const later = await start(to);
    await later.waitForLog(new RegExp(`"ipFamily":"IPv6","mode":"${from}","removed":\\d+,"left":0.*`));
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const load of loads) {
      const { tries, answers, failures } = await load.stop();
      expect(failures).toEqual({});
      expect(answers).toBe(tries);
      expect(answers).toBeGreaterThan(100);
    }
    expect(await held.stop()).toMatchObject({ alive: true });
    expect(await isGone(from)).toBe(true);
    await later.stop();
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup']);
    await bench.cluster.delete(SERVICE);
  });

  /** What kube-proxy left serves the recorded objects; then ours does, and no connection fails meanwhile. */
  const takeOver = async (script: string, mode: Mode, until: (proxy: NodeProxy) => Promise<void>): Promise<void> => {
    await bench.cluster.put(recordedObjects() as never);
    await bench.lab.run('node1', 'sh', ['-c', script]);
    await untilAnswered(bench.lab, 'pod3', RECORDED_TARGET);
    const load = await (await bench.lab.agent('pod3')).load({
      ...RECORDED_TARGET,
      parallel: 4,
      pauseMs: 2,
      timeoutMs: 2_000,
    });
    const started = await start(mode);
    await until(started);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { tries, answers, failures } = await load.stop();
    expect(failures).toEqual({});
    expect(answers).toBe(tries);
    expect(answers).toBeGreaterThan(100);
    await started.stop();
  };

  const cleanUp = async (): Promise<void> => {
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup']);
  };

  const removed =
    (mode: Mode) =>
    async (started: NodeProxy): Promise<void> => {
      await started.waitForLog(new RegExp(`"ipFamily":"IPv4","mode":"${mode}","removed":\\d+,"left":0`));
    };

  const RULES = `sed 's/-m nfacct --nfacct-name  [a-z_]* //' '${new URL('iptables-save.txt', RECORDED).pathname}' | iptables-nft-restore --noflush`;
  const TABLE = `nft -f '${new URL('nft.txt', RECORDED).pathname}'`;

  it('from the rules that kube-proxy left in mode iptables to nftables', async () => {
    await takeOver(RULES, 'nftables', removed('iptables'));
    expect(await isGone('iptables')).toBe(true);
    await cleanUp();
  });

  // nft is what puts kube-proxy's table there
  describeWith([program('nft')], 'of kube-proxy’s own', () => {
    it('from the table that kube-proxy left in mode nftables to iptables', async () => {
      await takeOver(TABLE, 'iptables', removed('nftables'));
      expect(await isGone('nftables')).toBe(true);
      await cleanUp();
    });

    it('from the table that kube-proxy left in mode nftables to our own, in place', async () => {
      await takeOver(TABLE, 'nftables', async () => undefined);
      const listing = nftables.list('ip', 'kube-proxy');
      // kube-proxy's chains and sets of single Services have a slash in their names
      expect(listing?.chains.map(({ name }) => name).filter((name) => name.includes('/'))).toEqual([]);
      expect(listing?.sets.map(({ declaration }) => declaration.name).filter((name) => name.includes('/'))).toEqual([]);
      await cleanUp();
    });
  });
});
