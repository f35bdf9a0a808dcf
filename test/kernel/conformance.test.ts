/**
 * The conformance table with real packets: the program as it would run, an API server over HTTP, pods on two nodes.
 * Under both iptables tools, over IPv4 and IPv6, TCP and UDP.
 */
import { afterAll, beforeAll, expect } from 'vitest';
import { serveSecondPorts } from '../conformance/packets.ts';
import { conformanceTests, FIRST_NUMBER, numbering, TRANSPORTS } from '../conformance/real-packets.ts';
import { type Bench, startBench, VARIANTS } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const nextNumber = numbering(FIRST_NUMBER);

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'real packets', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench();
    await serveSecondPorts(bench);
  });
  afterAll(() => bench?.remove());

  for (const { variant } of VARIANTS) {
    const args = [`--iptables-tool=${variant}`];
    const mode = {
      title: `iptables-${variant}`,
      backend: 'iptables',
      args,
      patience: { answerMs: 1_500, silentMs: 1_300, refusedMs: 2_500 },
      kernelMs: 20_000,
      transportsOf: () => TRANSPORTS,
      isClean: async ({ lab }: Bench) => {
        await lab.run('node1', process.execPath, [MAIN, 'cleanup', ...args]);
        const tools = [`iptables-${variant}-save`, `ip6tables-${variant}-save`];
        for (const tool of tools) {
          const left = (await lab.run('node1', tool)).stdout.split('\n').filter((line) => line.includes('KUBE'));
          // the guard of loopback may be the kubelet's
          expect(left.filter((line) => !/[ :]KUBE-FIREWALL( |$)/.test(line))).toEqual([]);
        }
      },
    } as const;
    conformanceTests(mode, () => bench, nextNumber);
  }
});
