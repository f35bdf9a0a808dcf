/** NodePorts on 127.0.0.1 with real packets, in mode iptables: who reaches what, and what stays of whom. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { summarize } from '../../src/lab/network/summary.ts';
import { destinationOf, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, saved, startBench, untilAnswered, VARIANTS } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '--iptables-sync-period=2s', '-v=2'];
const OFF = '--iptables-localhost-nodeports=false';
const SETTING = 'net.ipv4.conf.all.route_localnet';
/** Where something of the node's own listens, for itself alone. */
const OWN_PORT = 10_249;
const MARK = '-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP';
const GUARD =
  '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" ' +
  '-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP';
/** The same as the kubelet asks for it, before it would write it. */
const AS_THE_KUBELET_ASKS = [
  ...['-C', 'KUBE-FIREWALL', '-t', 'filter', '-m', 'comment', '--comment', 'block incoming localnet connections'],
  ...['--dst', '127.0.0.0/8', '!', '--src', '127.0.0.0/8'],
  ...['-m', 'conntrack', '!', '--ctstate', 'RELATED,ESTABLISHED,DNAT', '-j', 'DROP'],
];

const TCP: Variant = { family: 'IPv4', protocol: 'TCP', number: 1 };
const UDP: Variant = { family: 'IPv4', protocol: 'UDP', number: 2 };
const V6: Variant = { family: 'IPv6', protocol: 'TCP', number: 3 };
const endpoints = [{ on: 'pod1' }, { on: 'remote1' }] as const;

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'NodePorts on localhost', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
    for (const [i, variant] of [TCP, UDP, V6].entries()) {
      await bench.cluster.put(objectsOf(`web-${i}`, { nodePort: true, endpoints }, variant));
    }
    const node = await bench.lab.agent('node1');
    await node.serve({ protocol: 'tcp', port: OWN_PORT, host: '127.0.0.1', name: 'node1 for itself' });
    // a neighbour that sends what is for its own loopback to the node instead
    const neighbour = [`sysctl -q -w ${SETTING}=1`, 'ip address del 127.0.0.1/8 dev lo'];
    neighbour.push('ip route add 127.0.0.0/8 via 10.250.0.1');
    await bench.lab.run('outside', 'sh', ['-ec', neighbour.join('\n')]);
  });
  afterAll(() => bench?.remove());
  beforeEach(async () => {
    await bench.lab.run('node1', 'sysctl', ['-q', '-w', `${SETTING}=0`]);
    for (const { variant } of VARIANTS) {
      for (const table of ['filter', 'nat']) {
        for (const operation of ['-F', '-X']) {
          await bench.lab.run('node1', `iptables-${variant}`, ['-w', '5', '-t', table, operation]);
        }
      }
    }
  });
  afterEach(async () => {
    await proxy?.stop('SIGKILL');
    proxy = undefined;
  });

  const setting = async (): Promise<string> => (await bench.lab.run('node1', 'sysctl', ['-n', SETTING])).stdout;

  const untilSynced = async (started: NodeProxy): Promise<NodeProxy> => {
    await started.waitForLog(/"ipFamily":"IPv6","fullSync":true.*\n/);
    await started.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/);
    return started;
  };

  /** What becomes of connections, in short. */
  const probe = async (
    from: 'node1' | 'outside',
    host: string,
    port: number,
    { protocol = 'tcp', tries = 40 }: { readonly protocol?: 'tcp' | 'udp'; readonly tries?: number } = {},
  ): Promise<readonly string[]> => {
    const agent = await bench.lab.agent(from);
    const { servers, failures } = summarize(await agent.probe({ protocol, host, port, tries, timeoutMs: 700 }));
    return [...Object.keys(servers), ...Object.keys(failures)].sort();
  };
  const attack = (): Promise<readonly string[]> => probe('outside', '127.0.0.1', OWN_PORT, { tries: 3 });
  const nodePort = (variant: Variant): number => destinationOf('node-port', variant).port;

  for (const { variant } of VARIANTS) {
    const tool = `iptables-${variant}`;
    const start = async (...args: readonly string[]): Promise<NodeProxy> => {
      proxy = bench.cluster.startProxy('node1', [...FLAGS, `--iptables-tool=${variant}`, ...args]);
      return untilSynced(proxy);
    };
    const iptables = (...args: readonly string[]) => bench.lab.run('node1', tool, ['-w', '5', ...args]);

    it(`${tool}: lead from the node to every endpoint, also after a restart, which writes nothing`, async () => {
      await start();
      await untilAnswered(bench.lab, 'node1', { protocol: 'tcp', host: '127.0.0.1', port: nodePort(TCP) });
      const serves = async (): Promise<void> => {
        expect(await probe('node1', '127.0.0.1', nodePort(TCP))).toEqual(['pod1', 'remote1']);
        expect(await probe('node1', '127.0.0.1', nodePort(UDP), { protocol: 'udp' })).toEqual(['pod1', 'remote1']);
        expect(await probe('node1', '10.250.0.1', nodePort(TCP))).toEqual(['pod1', 'remote1']);
        expect(await probe('node1', '::1', nodePort(V6), { tries: 2 })).toEqual(['refused']);
      };
      await serves();
      expect(await setting()).toBe('1');
      const before = await saved(bench.lab, tool);
      await proxy?.stop('SIGKILL');
      const again = await start();
      await again.waitForLog(/"ipFamily":"IPv4","fullSync":true,.*"added":0,"replaced":0,"removed":0/);
      expect(await saved(bench.lab, tool)).toBe(before);
      await serves();
    });

    it(`${tool}: open the node's own loopback to nobody else`, async () => {
      await start();
      expect(await probe('node1', '127.0.0.1', OWN_PORT, { tries: 1 })).toEqual(['node1 for itself']);
      expect(await attack()).toEqual(['timeout']);
      await proxy?.stop();
      expect(await attack()).toEqual(['timeout']);
      // it is the guard that does it
      await iptables('-F', 'KUBE-FIREWALL');
      expect(await attack()).toEqual(['node1 for itself']);
      await start();
      expect(await attack()).toEqual(['timeout']);
    });

    it(`${tool}: share the guard with the kubelet, and leave it when they go`, async () => {
      await iptables('-N', 'KUBE-FIREWALL');
      await iptables(...MARK.split(' '));
      await iptables('-I', 'OUTPUT', '-j', 'KUBE-FIREWALL');
      const running = await start();
      const rules = (await saved(bench.lab, tool)).split('\n');
      const shared = rules.filter((line) => / KUBE-FIREWALL/.test(line));
      expect(shared).toEqual(['-A INPUT -j KUBE-FIREWALL', '-A OUTPUT -j KUBE-FIREWALL', GUARD, MARK]);
      expect((await iptables(...AS_THE_KUBELET_ASKS)).exitCode).toBe(0);
      // what the kubelet does later is no drift
      await iptables('-A', 'KUBE-FIREWALL', '-s', '192.0.2.1', '-j', 'DROP');
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect(running.log()).not.toContain('drift');
      await running.stop();
      await bench.lab.run('node1', process.execPath, [MAIN, 'cleanup', `--iptables-tool=${variant}`]);
      const left = (await saved(bench.lab, tool)).split('\n').filter((line) => line.includes('KUBE-'));
      expect(left).toEqual([':KUBE-FIREWALL - [0:0]', ...shared, '-A KUBE-FIREWALL -s 192.0.2.1/32 -j DROP']);
      expect(await setting()).toBe('1');
      expect(await attack()).toEqual(['timeout']);
    });

    it(`${tool}: are not there where they are off, or where NodePorts answer on other addresses only`, async () => {
      for (const args of [OFF, '--nodeport-addresses=10.250.0.0/24']) {
        await start(args);
        await untilAnswered(bench.lab, 'node1', { protocol: 'tcp', host: '10.250.0.1', port: nodePort(TCP) });
        expect(await probe('node1', '127.0.0.1', nodePort(TCP), { tries: 2 })).toEqual(['refused']);
        expect(await setting()).toBe('0');
        expect(await saved(bench.lab, tool)).not.toMatch(/KUBE-FIREWALL/);
        await proxy?.stop();
      }
    });

    it(`${tool}: answer on loopback alone where nothing else is asked for`, async () => {
      await start('--nodeport-addresses=127.0.0.0/8');
      await untilAnswered(bench.lab, 'node1', { protocol: 'tcp', host: '127.0.0.1', port: nodePort(TCP) });
      expect(await probe('node1', '127.0.0.1', nodePort(TCP))).toEqual(['pod1', 'remote1']);
      expect(await probe('outside', '10.250.0.1', nodePort(TCP), { tries: 2 })).toEqual(['refused']);
    });

    it(`${tool}: are done without, and that is said, where the kernel setting cannot be written`, async () => {
      const readOnly = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"';
      const args = [MAIN, 'run', ...FLAGS, `--iptables-tool=${variant}`, '--hostname-override=node1'];
      const started = bench.lab.spawn(
        'node1',
        'unshare',
        ['-m', 'sh', '-c', readOnly, 'sh', process.execPath, ...args, `--kubeconfig=${bench.cluster.kubeconfig}`],
        { stderr: 'pipe' },
      );
      try {
        await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', ...destinationOf('cluster', TCP) });
        await untilAnswered(bench.lab, 'outside', { protocol: 'tcp', host: '10.250.0.1', port: nodePort(TCP) });
        expect(await setting()).toBe('0');
      } finally {
        started.kill('SIGTERM');
      }
      const { stderr } = await started;
      expect(stderr).toContain(`NodePorts do not answer on 127.0.0.1: kernel setting ${SETTING} = 1: EROFS`);
      expect(stderr).not.toContain('failed');
    });
  }
});
