/** UDP clients that keep their port, through what a proxy has trouble with: rules that were missing, a time without it, tools that fail. */
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import type { AgentTask, HeldState } from '../../src/lab/network/agent/calls.ts';
import { destinationOf, type EndpointSpec, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const variantOf = (number: number): Variant => ({ family: 'IPv4', protocol: 'UDP', number });
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const CIDR = '--cluster-cidr=10.200.0.0/16,fd20::/48';
const MODES = [
  { mode: 'iptables-nft', flags: ['--iptables-tool=nft'], wipe: ['iptables-nft', '-t', 'nat', '-F'], first: 1 },
  {
    mode: 'iptables-legacy',
    flags: ['--iptables-tool=legacy', '--iptables-sync-period=2s'],
    wipe: ['iptables-legacy', '-t', 'nat', '-F'],
    first: 11,
  },
  {
    mode: 'nftables',
    flags: ['--proxy-mode=nftables', '--nodeport-addresses=0.0.0.0/0,::/0'],
    wipe: ['nft', 'delete', 'table', 'ip', 'kube-proxy'],
    first: 21,
  },
] as const;

describeWith(
  [...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy'), program('nft'), program('conntrack')],
  'UDP flows',
  () => {
    let bench: Bench;
    let proxy: NodeProxy | undefined;
    beforeAll(async () => {
      bench = await startBench();
    });
    afterAll(() => bench?.remove());

    const start = async (flags: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<void> => {
      proxy = bench.cluster.startProxy('node1', [CIDR, ...flags], { env });
      await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true/);
    };
    const put = (number: number, endpoints: readonly EndpointSpec[]): Promise<void> =>
      bench.cluster.put(objectsOf(`trouble${number}`, { nodePort: true, endpoints }, variantOf(number)));
    const remove = (number: number): Promise<void> =>
      bench.cluster.delete(objectsOf(`trouble${number}`, { nodePort: true, endpoints: [] }, variantOf(number)));

    /** Tries until it is answered, always from the same port. */
    const hold = async (from: 'pod3' | 'outside', to: 'cluster' | 'node-port', number: number) => {
      const target = { protocol: 'udp' as const, ...destinationOf(to, variantOf(number)), localPort: 41_000 + number };
      const agent = await bench.lab.agent(from);
      for (const deadline = Date.now() + 20_000; ; ) {
        try {
          return await agent.hold({ ...target, intervalMs: 10, timeoutMs: 100 });
        } catch (error) {
          if (Date.now() > deadline) throw error;
        }
      }
    };
    const reaches = async (
      held: AgentTask<HeldState>,
      isSo: (state: HeldState) => boolean,
      ms = 4_000,
    ): Promise<void> => {
      for (const deadline = Date.now() + ms; ; await sleep(20)) {
        const state = await held.state();
        if (isSo(state)) return;
        if (Date.now() > deadline) throw new Error(JSON.stringify(state));
      }
    };
    /** The kernel's number of the client's flow: a new one has another one. */
    const flowId = async (number: number): Promise<string | undefined> => {
      const args = ['-L', '-p', 'udp', '-o', 'id', '--orig-port-src', String(41_000 + number)];
      const { stdout } = await bench.lab.run('node1', 'conntrack', args);
      return /(?:^|\s)id=(\d+)/.exec(stdout)?.[1] ?? 'none';
    };
    const answeredBy = (server: string) => (state: HeldState) => state.alive && state.server === server;

    describe.each(MODES)('$mode', ({ flags, wipe, first }) => {
      afterEach(async () => {
        await proxy?.stop('SIGKILL');
        proxy = undefined;
        const main = new URL('../../dist/main.js', import.meta.url).pathname;
        await bench.lab.run('node1', process.execPath, [main, 'cleanup', ...flags]);
      });

      it.each([
        ['pod3', 'cluster', 0],
        ['outside', 'node-port', 1],
      ] as const)(
        'that begin at %s while the rules are gone (%s) are led once they are back',
        async (from, to, more) => {
          await put(first + more, [{ on: 'pod1' }]);
          await start(flags);
          process.kill(proxy?.pid ?? 0, 'SIGSTOP');
          const [tool, ...args] = wipe;
          await bench.lab.run('node1', tool, args);
          const held = hold(from, to, first + more);
          await sleep(400);
          process.kill(proxy?.pid ?? 0, 'SIGCONT');
          await (await held).stop();
          await remove(first + more);
        },
      );

      it('to a Service that is deleted while no proxy runs end with it, and those of others go on', async () => {
        await put(first + 2, [{ on: 'pod1' }]);
        await put(first + 3, [{ on: 'pod2' }]);
        await start(flags);
        const gone = [await hold('pod3', 'cluster', first + 2), await hold('outside', 'node-port', first + 2)];
        const kept = await hold('outside', 'node-port', first + 3);
        const id = await flowId(first + 3);
        await proxy?.stop();
        await remove(first + 2);
        await sleep(200);
        expect((await gone[0]?.state())?.alive).toBe(true);
        await start(flags);
        for (const held of gone) await reaches(held, ({ alive }) => !alive);
        for (const held of gone) await held.stop();
        expect(await flowId(first + 3)).toBe(id);
        await kept.stop();
        await remove(first + 3);
      });
    });

    it.each([
      ['nft', 'kill -9 $$', 31],
      ['nft', 'exit 4', 32],
      ['legacy', 'kill -9 $$', 33],
      ['legacy', 'exit 2', 34],
    ] as const)(
      'iptables-%s: whose endpoint changes while the tool fails (%s) follow it when it works again',
      async (variant, fail, number) => {
        const tool = `iptables-${variant}-restore`;
        const real = (await bench.lab.run('node1', 'sh', ['-c', `command -v ${tool}`])).stdout.trim();
        const [fake, broken] = [join(bench.cluster.folder, tool), join(bench.cluster.folder, 'broken')];
        await writeFile(fake, `#!/bin/sh\n[ -e ${broken} ] && ${fail}\nexec ${real} "$@"\n`);
        await chmod(fake, 0o755);
        await put(number, [{ on: 'pod1' }]);
        await start([`--iptables-tool=${variant}`, '--iptables-sync-period=1s'], {
          PATH: `${bench.cluster.folder}:${process.env.PATH}`,
        });
        const held = await hold('pod3', 'cluster', number);
        await reaches(held, answeredBy('pod1'));
        await writeFile(broken, '');
        await put(number, [{ on: 'pod2' }]);
        await sleep(1_500);
        await rm(broken);
        await reaches(held, answeredBy('pod2'), 10_000);
        await held.stop();
        await remove(number);
        await rm(fake);
        await proxy?.stop();
      },
      40_000,
    );
  },
);
