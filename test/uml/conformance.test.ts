/** The conformance table with real packets in mode ipvs. */
import { afterAll, beforeAll, expect } from 'vitest';
import { serveSecondPorts } from '../conformance/packets.ts';
import { conformanceTests, FIRST_NUMBER, type Mode, numbering, TRANSPORTS } from '../conformance/real-packets.ts';
import { type Bench, startBench } from '../kernel/cluster.ts';

const ARGS = ['--proxy-mode=ipvs'];

const MODE: Mode = {
  title: 'ipvs',
  backend: 'ipvs',
  args: ARGS,
  // one processor, and each system call takes many times what it takes elsewhere
  patience: { answerMs: 8_000, silentMs: 2_500, refusedMs: 8_000 },
  kernelMs: 120_000,
  transportsOf: () => TRANSPORTS,
  isClean: async ({ lab }) => {
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await lab.run('node1', process.execPath, [main, 'cleanup', ...ARGS], { timeoutMs: 60_000 });
    for (const tool of ['iptables-save', 'ip6tables-save', 'ipset']) {
      const { stdout } = await lab.run('node1', tool, tool === 'ipset' ? ['save'] : []);
      expect(stdout).not.toContain('KUBE');
    }
    expect((await lab.run('node1', 'ipvsadm', ['-Sn'])).stdout).toBe('');
  },
};

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
  await serveSecondPorts(bench);
});
afterAll(() => bench?.remove());

conformanceTests(MODE, () => bench, numbering(FIRST_NUMBER));
