/**
 * UDP flows that outlive their endpoint, and session affinity, in the modes that run on any kernel; mode ipvs has its own in
 * User Mode Linux.
 */
import { afterAll, beforeAll, describe } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { addClients, affinityTest } from '../conformance/affinity.ts';
import { udpFlowTests } from '../conformance/udp-flows.ts';
import { type Bench, startBench } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MODES = [
  ['iptables-nft', ['--iptables-tool=nft']],
  ['iptables-legacy', ['--iptables-tool=legacy']],
  ['nftables', ['--proxy-mode=nftables', '--nodeport-addresses=0.0.0.0/0,::/0']],
] as const;

const NEEDS = [...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')];

describeWith(NEEDS, 'flows and clients', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench();
    await addClients(bench);
  });
  afterAll(() => bench?.remove());

  describe.each(MODES.map(([mode, flags], i) => ({ mode, flags, first: 1 + i * 10 })))(
    '$mode',
    ({ mode, flags, first }) => {
      let proxy: NodeProxy | undefined;
      beforeAll(async () => {
        proxy = bench.cluster.startProxy('node1', ['--cluster-cidr=10.200.0.0/16,fd20::/48', ...flags]);
        await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true/);
      });
      afterAll(async () => {
        await proxy?.stop();
        const main = new URL('../../dist/main.js', import.meta.url).pathname;
        await bench.lab.run('node1', process.execPath, [main, 'cleanup', ...flags]);
      });

      udpFlowTests(mode, () => ({ bench, patienceMs: 5_000, answerMs: 500, first }));
      affinityTest(mode, () => ({ bench, seconds: 3, number: first + 9 }));
    },
  );
});
