/**
 * The conformance table with real packets in mode nftables: the program as it would run, an API server over HTTP, pods on
 * two nodes. Over IPv4 and IPv6, TCP and UDP. No program of nftables' is needed.
 */
import { afterAll, beforeAll, expect } from 'vitest';
import { serveSecondPorts } from '../conformance/packets.ts';
import { conformanceTests, FIRST_NUMBER, numbering, TRANSPORTS } from '../conformance/real-packets.ts';
import { type Bench, startBench } from './cluster.ts';
import { describeWith, LAB_NEEDS } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const MODE = '--proxy-mode=nftables';

describeWith(LAB_NEEDS, 'real packets', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench();
    await serveSecondPorts(bench);
  });
  afterAll(() => bench?.remove());

  conformanceTests(
    {
      title: 'nftables',
      backend: 'nftables',
      args: [MODE],
      // in this mode NodePorts answer on the node's first address only, unless they are told otherwise
      flags: { 'nodeport-addresses': '0.0.0.0/0,::/0' },
      patience: { answerMs: 1_500, silentMs: 1_300, refusedMs: 2_500 },
      kernelMs: 20_000,
      transportsOf: () => TRANSPORTS,
      isClean: async ({ lab }) => {
        const first = await lab.run('node1', process.execPath, [MAIN, 'cleanup', MODE]);
        expect(first.stdout).toContain('IPv4 table');
        const second = await lab.run('node1', process.execPath, [MAIN, 'cleanup', MODE]);
        expect(second.stdout).toBe('');
      },
    },
    () => bench,
    numbering(FIRST_NUMBER),
  );
});
