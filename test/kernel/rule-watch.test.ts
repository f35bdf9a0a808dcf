/** Mode iptables with the nf_tables tools: what others do to our rules is heard of, and repaired long before the next look. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, saved, startBench, untilAnswered } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const VARIANT: Variant = { family: 'IPv4', protocol: 'TCP', number: 210 };
const TARGET = { protocol: 'tcp' as const, host: '10.96.1.210', port: 80 };
const FLAGS = ['--iptables-tool=nft', '--iptables-sync-period=10m', '--cluster-cidr=10.200.0.0/16,fd20::/48', '-v=2'];
const SOON_MS = 5_000;

describeWith([...LAB_NEEDS, program('iptables-nft')], 'somebody else writes to our rules', () => {
  let bench: Bench;
  let proxy: NodeProxy;
  beforeAll(async () => {
    bench = await startBench();
    await bench.cluster.put(objectsOf('watched', { endpoints: [{ on: 'pod1' }, { on: 'remote1' }] }, VARIANT));
    proxy = bench.cluster.startProxy('node1', FLAGS);
    for (const family of ['IPv4', 'IPv6']) await proxy.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true`));
    await untilAnswered(bench.lab, 'pod3', TARGET);
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    await bench?.remove();
  });

  const rules = (): Promise<string> => saved(bench.lab, 'iptables-nft');

  const untilSame = async (wanted: string): Promise<void> => {
    for (const deadline = Date.now() + SOON_MS; (await rules()) !== wanted; await pause(50)) {
      expect(Date.now(), 'repaired').toBeLessThan(deadline);
    }
  };

  const iptables = (...args: readonly string[]) => bench.lab.run('node1', 'iptables-nft', ['-w', ...args]);

  it.each([
    [
      'a flush of a table, chains and all',
      [
        ['-t', 'nat', '-F'],
        ['-t', 'nat', '-X'],
      ],
    ],
    [
      'a rule of others in a chain of ours',
      [['-t', 'nat', '-I', 'KUBE-SERVICES', '-d', '10.96.1.210', '-j', 'RETURN']],
    ],
    ['a chain of ours that is emptied', [['-t', 'nat', '-F', 'KUBE-SERVICES']]],
  ] as const)('%s', async (_, commands) => {
    const before = await rules();
    for (const command of commands) await iptables(...command);
    expect(await rules()).not.toBe(before);
    await untilAnswered(bench.lab, 'pod3', TARGET, SOON_MS);
    await untilSame(before);
  });

  it('our own changes are not taken for drift', async () => {
    const drifts = (): number => proxy.log().split('drift found').length;
    const before = drifts();
    for (const on of ['remote2', 'pod2', 'remote1'] as const) {
      await bench.cluster.put(objectsOf('watched', { endpoints: [{ on: 'pod1' }, { on }] }, VARIANT));
      await pause(300);
    }
    await pause(1_500);
    expect(drifts()).toBe(before);
  });
});
