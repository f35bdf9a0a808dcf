/** What a change costs at size: counted in what iptables-restore receives, not in seconds. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { firstEndpoint, manyServices, serviceObjects } from '../../src/lab/many.ts';
import { type Bench, startBench } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const ENDPOINTS = 5;
/** Longer than the longest write. */
const QUIET_MS = 1_500;
const FLAGS = ['--cluster-cidr=10.200.0.0/16', '--iptables-tool=nft', '-v=2'];

interface Received {
  readonly restores: number;
  /** Rules, chain declarations and deletions. */
  readonly rules: number;
  readonly chains: number;
  readonly deletions: number;
  readonly text: string;
}

/** What is written when a Service and its endpoints have arrived: they come on two watches, and either may be first. */
const proofOf = (number: number): string => `DNAT --to-destination ${firstEndpoint(number)}:`;

describeWith([...LAB_NEEDS, program('iptables-nft')], 'at 5,000 Services × 5 endpoints', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  let inputs: string;
  beforeAll(async () => {
    bench = await startBench();
    const bin = join(bench.cluster.folder, 'bin');
    inputs = join(bench.cluster.folder, 'inputs');
    await mkdir(bin);
    await mkdir(inputs);
    const wrapper = `#!/bin/sh\nf=${inputs}/$(date +%s%N).$$\ncat >"$f"\nexec /usr/sbin/iptables-nft-restore "$@" <"$f"\n`;
    await writeFile(join(bin, 'iptables-nft-restore'), wrapper, { mode: 0o755 });
    proxy = bench.cluster.startProxy('node1', FLAGS, { env: { PATH: `${bin}:${process.env.PATH}` } });
    await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true/);
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    await bench?.remove();
  });

  /** What iptables-restore received since the last call, once the change has reached the kernel. */
  const received = async (change: () => Promise<void>, proof: string): Promise<Received> => {
    await rm(inputs, { recursive: true });
    await mkdir(inputs);
    await change();
    const deadline = Date.now() + 30_000;
    let seen = -1;
    while (Date.now() < deadline) {
      const files = (await readdir(inputs)).sort();
      const isQuiet = files.length === seen;
      seen = files.length;
      const texts = await Promise.all(files.map((name) => readFile(join(inputs, name), 'utf8')));
      const lines = texts.join('').split('\n');
      const count = (start: string): number => lines.filter((line) => line.startsWith(start)).length;
      const text = texts.join('');
      if (isQuiet && text.includes(proof) && text.endsWith('COMMIT\n')) {
        return { restores: texts.length, rules: count('-A'), chains: count(':'), deletions: count('-X'), text };
      }
      await sleep(QUIET_MS);
    }
    throw new Error(`nothing with ${proof} was written`);
  };

  /** Replaces one endpoint of one Service. */
  const replaceEndpoint = (number: number, ip: string): Promise<Received> =>
    received(async () => {
      const [, slice] = serviceObjects(number, ENDPOINTS, ip);
      await bench.cluster.put(slice === undefined ? [] : [slice]);
    }, `DNAT --to-destination ${ip}:`);

  const cost = ({ restores, rules, chains, deletions }: Received) => ({ restores, rules, chains, deletions });

  it('one endpoint costs the same among 100 Services as among 5,000', async () => {
    await bench.cluster.put(manyServices(0, 100, ENDPOINTS));
    await received(() => bench.cluster.put(serviceObjects(100, ENDPOINTS)), proofOf(100));
    await replaceEndpoint(60, '10.200.0.203');
    const small = await replaceEndpoint(50, '10.200.0.201');
    await bench.cluster.put(manyServices(101, 5_000 - 101, ENDPOINTS));
    const last = serviceObjects(5_000, ENDPOINTS);
    await received(() => bench.cluster.put(last), proofOf(5_000));
    // a large change goes in several pieces and is rested after: one more, and all of it is behind us
    await replaceEndpoint(60, '10.200.0.204');
    const large = await replaceEndpoint(2_500, '10.200.0.202');
    expect(cost(large)).toEqual(cost(small));
    // the Service's own chain (a mark, five jumps), one new endpoint's chain (two rules), and the old one's end
    expect(cost(large)).toEqual({ restores: 1, rules: 6 + 2, chains: 3, deletions: 1 });
  });

  it('one Service more rewrites one small chain of the dispatch tree', async () => {
    const [service, slice] = serviceObjects(5_001, ENDPOINTS);
    const { restores, text } = await received(async () => {
      // they come on two watches: a Service whose endpoints are not there yet would be refused in table filter first
      await bench.cluster.put([slice]);
      await sleep(QUIET_MS);
      await bench.cluster.put([service]);
    }, proofOf(5_001));
    const ofTree = (restored: string): readonly string[] => [
      ...new Set([...restored.matchAll(/^-A (KUBE-SVC-\d\S+|KUBE-SERVICES) .*$/gm)].map(([, name]) => name ?? '')),
    ];
    expect(restores).toBe(1);
    expect(ofTree(text)).toHaveLength(1);
    expect([...text.matchAll(/^-A KUBE-SVC-\d\S+ .*$/gm)].length).toBeLessThanOrEqual(8);
  });
});
