/** The DaemonSet's containers as they stand in the manifests, on a real node: they have the rights that they need, and no other. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResultPromise } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ProxyMode } from '../../src/config/config.ts';
import { NODE_OBJECT, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { commandOf, type Pod, preparePod } from './container.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const TCP: Variant = { family: 'IPv4', protocol: 'TCP', number: 1 };
const OBJECTS = [
  NODE_OBJECT,
  ...objectsOf('web', { nodePort: true, endpoints: [{ on: 'pod1' }, { on: 'remote1' }] }, TCP),
];
const SERVICE = { protocol: 'tcp', host: '10.96.1.1', port: 80 } as const;
/** The size of the table is the same in all namespaces, so it cannot be set in this one. */
const OF_THE_MACHINE = /^.*nf_conntrack_max cannot be set.*$/m;
/** The kubelet gives it before the proxy starts, and without one it cannot be had. */
const OF_THE_KUBELET = /^.*the OOM score stays as it is.*\n.*error: .*$/m;
const FROM_FILES = '--source=files:/objects';

interface Case {
  readonly mode: ProxyMode;
  readonly title: string;
  readonly args: readonly string[];
  /** What the proxy says without each of its capabilities, and whether that is its end. */
  readonly without: Readonly<Record<string, { readonly said: RegExp; readonly ends: boolean }>>;
}

const NO_ADMIN = { said: /pointsman: mode \w+ needs root, or the capability CAP_NET_ADMIN/, ends: true };
const NO_RAW =
  /the capability CAP_NET_RAW is missing: the iptables programs of the legacy variant do not work without it/;
const CASES: readonly Case[] = [
  ...(['nft', 'legacy'] as const).map((variant) => ({
    mode: 'iptables' as const,
    title: `iptables, the ${variant} variant`,
    args: [`--iptables-tool=${variant}`],
    without: { NET_ADMIN: NO_ADMIN, NET_RAW: { said: NO_RAW, ends: variant === 'legacy' } },
  })),
  { mode: 'nftables', title: 'nftables', args: [], without: { NET_ADMIN: NO_ADMIN } },
];

const NEEDS = [...LAB_NEEDS, ...['setpriv', 'unshare', 'chroot', 'iptables-nft', 'iptables-legacy'].map(program)];

describeWith(NEEDS, 'the containers of the DaemonSet', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pointsman-pod-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  describe.each(CASES)('$title', ({ mode, title, args, without }) => {
    let bench: Bench;
    let pod: Pod;
    let running: ResultPromise | undefined;
    beforeAll(async () => {
      bench = await startBench();
      pod = await preparePod(mode, OBJECTS, join(folder, title.replaceAll(/\W/g, '-')));
    });
    afterEach(async () => {
      running?.kill('SIGKILL');
      await running;
      running = undefined;
    });
    afterAll(() => bench?.remove());

    const command = (
      which: 'initContainer' | 'proxy' | 'cleanup',
      capabilities?: readonly string[],
    ): readonly string[] => {
      const options = { nodeName: 'node1', args: [FROM_FILES, ...args] };
      return commandOf(pod, pod[which], { ...options, ...(capabilities === undefined ? {} : { capabilities }) });
    };
    const onNode = async (words: readonly string[]) => {
      const [first = '', ...rest] = words;
      return bench.lab.run('node1', first, rest, { reject: false });
    };
    const setting = async (name: string): Promise<string> => (await onNode(['sysctl', '-n', name])).stdout;
    const ask = async (path: string): Promise<string> => {
      const code = `fetch('http://127.0.0.1:10256${path}').then((r) => console.log(r.status), (e) => console.log(e.cause.code))`;
      return (await onNode([process.execPath, '-e', code])).stdout;
    };

    it('the init container prepares the node and ends, and a second time there is nothing to do', async () => {
      const first = await onNode(command('initContainer'));
      expect(first.stderr).toContain('node prepared');
      expect(first.exitCode).toBe(0);
      expect(await setting('net.netfilter.nf_conntrack_tcp_timeout_close_wait')).toBe('3600');
      if (mode === 'iptables') expect(await setting('net.ipv4.conf.all.route_localnet')).toBe('1');
      const second = await onNode(command('initContainer'));
      expect(second.stderr).toMatch(/"set":\[\]|set: \[\]/);
      expect(second.exitCode).toBe(0);
    });

    it('the proxy serves with the capabilities that it lists, answers its probes, and ends when it is told to', async () => {
      const [first = '', ...rest] = command('proxy');
      running = bench.lab.spawn('node1', first, rest, { stderr: 'pipe', stdout: 'ignore' });
      await untilAnswered(bench.lab, 'pod3', SERVICE);
      for (const probe of [pod.proxy.livenessProbe, pod.proxy.readinessProbe]) {
        expect(await ask(probe?.httpGet.path ?? '')).toBe('200');
      }
      running.kill('SIGTERM');
      const { stderr, exitCode } = await running;
      expect(`${stderr}`.replace(OF_THE_MACHINE, '').replace(OF_THE_KUBELET, '')).not.toMatch(
        /failed|cannot|has no effect|missing|EROFS|EACCES|EPERM/,
      );
      expect(stderr).toContain('rules stay');
      expect(exitCode).toBe(0);
      running = undefined;
    });

    it.each(Object.entries(without))('the proxy says so when it lacks %s', async (lacking, { said, ends }) => {
      const held = pod.proxy.securityContext.capabilities?.add ?? [];
      expect(held).toEqual(Object.keys(without));
      const words = command(
        'proxy',
        held.filter((name) => name !== lacking),
      );
      const { stderr, exitCode } = await onNode(['timeout', '--preserve-status', '-s', 'TERM', '3', ...words]);
      expect(stderr).toMatch(said);
      expect(exitCode).toBe(ends ? 1 : 0);
    });

    it('the clean-up takes the rules away, and says which', async () => {
      const { stdout, exitCode } = await onNode(command('cleanup'));
      expect(stdout).toMatch(mode === 'nftables' ? /IPv4 .*service-ips/ : /IPv4 nat KUBE-SERVICES/);
      expect(exitCode).toBe(0);
      expect((await onNode(command('cleanup'))).stdout).toBe('');
    });
  });
});
