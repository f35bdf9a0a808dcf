/** The program on a real node: restarts, drift, other people's rules, faults of tools and API server. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, saved, startBench, untilAnswered, VARIANTS } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const endpoints = [{ on: 'pod1' }, { on: 'remote1' }] as const;
const target = (number: number) => ({ protocol: 'tcp' as const, host: `10.96.1.${number}`, port: 80 });
const FLAGS = [
  '--cluster-cidr=10.200.0.0/16,fd20::/48',
  '--iptables-sync-period=2s',
  '--iptables-min-sync-period=0s',
  '-v=2',
];

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const config = (kubeconfig: string): string => `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection:
  kubeconfig: ${kubeconfig}
clusterCIDR: 10.200.0.0/16,fd20::/48
iptables:
  syncPeriod: 2s
hostnameOverride: node1
`;

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'on a real node', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
  });
  afterAll(() => bench?.remove());
  afterEach(async () => {
    await proxy?.stop('SIGKILL');
    proxy = undefined;
  });

  const cleanUp = async (variant: string): Promise<void> => {
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup', `--iptables-tool=${variant}`]);
  };

  /** Started, and what it found at start is in the kernel. */
  const startSynced = async (args: readonly string[]): Promise<NodeProxy> => {
    const started = bench.cluster.startProxy('node1', args);
    proxy = started;
    await started.waitForLog(/"ipFamily":"IPv6","fullSync":true.*\n/);
    await started.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/);
    return started;
  };

  for (const { variant } of VARIANTS) {
    const tool = `iptables-${variant}`;
    const start = (): Promise<NodeProxy> => startSynced([...FLAGS, `--iptables-tool=${variant}`]);

    it(`${tool}: runs from a kube-proxy configuration file`, async () => {
      for (const { variant: former } of VARIANTS) await cleanUp(former);
      const file = join(bench.cluster.folder, 'kube-proxy-config.yaml');
      await writeFile(file, config(bench.cluster.kubeconfig));
      await bench.cluster.put(objectsOf('configured', { endpoints }, v4(1)));
      proxy = bench.cluster.startProxy('node1', [`--config=${file}`, `--iptables-tool=${variant}`], {
        withKubeconfig: false,
      });
      await untilAnswered(bench.lab, 'pod3', target(1));
    });

    it(`${tool}: kill -9 and restart under load fail no connection and rewrite no rule`, async () => {
      await bench.cluster.put(objectsOf('restart', { nodePort: true, endpoints }, v4(2)));
      proxy = await start();
      await untilAnswered(bench.lab, 'pod3', target(2));
      const held = await (await bench.lab.agent('pod3')).hold({ ...target(2), timeoutMs: 2_000 });
      const loads = await Promise.all(
        (['pod3', 'outside'] as const).map(async (from) =>
          (await bench.lab.agent(from)).load({ ...target(2), parallel: 4, pauseMs: 2, timeoutMs: 2_000 }),
        ),
      );
      await sleep(300);
      const before = await saved(bench.lab, tool);
      for (let i = 0; i < 3; i += 1) {
        await proxy.stop('SIGKILL');
        await sleep(100);
        proxy = await start();
        await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true,.*"added":0,"replaced":0,"removed":0/);
        await proxy.waitForLog(/"ipFamily":"IPv6","fullSync":true,.*"added":0,"replaced":0,"removed":0/);
      }
      expect(await saved(bench.lab, tool)).toBe(before);
      for (const load of loads) {
        const { tries, answers, failures } = await load.stop();
        expect(failures).toEqual({});
        expect(answers).toBe(tries);
        expect(answers).toBeGreaterThan(100);
      }
      expect(await held.stop()).toMatchObject({ alive: true });
    });

    it(`${tool}: notices and repairs what others delete, and leaves what is theirs`, async () => {
      await bench.cluster.put(objectsOf('drift', { nodePort: true, endpoints }, v4(3)));
      const foreign = ['-t', 'nat', '-A', 'PREROUTING', '-p', 'tcp', '--dport', '9999', '-j', 'REDIRECT'];
      await bench.lab.run('node1', tool, ['-t', 'nat', '-N', 'THEIRS']);
      await bench.lab.run('node1', tool, foreign);
      await bench.lab.run('node1', tool, ['-t', 'nat', '-A', 'THEIRS', '-j', 'RETURN']);
      proxy = await start();
      await untilAnswered(bench.lab, 'pod3', target(3));
      const before = await saved(bench.lab, tool);
      expect(before).toContain('-A PREROUTING -p tcp -m tcp --dport 9999 -j REDIRECT');
      await bench.lab.run('node1', tool, ['-t', 'nat', '-F', 'KUBE-SERVICES']);
      await bench.lab.run('node1', tool, ['-t', 'nat', '-D', 'PREROUTING', '-j', 'KUBE-SERVICES']);
      await bench.lab.run('node1', tool, ['-t', 'filter', '-A', 'KUBE-FORWARD', '-j', 'DROP']);
      await proxy.waitForLog(/drift found and repaired/, 10_000);
      await untilAnswered(bench.lab, 'pod3', target(3));
      // the jump that was deleted is put back on top, where others' rules may have been before it
      const sorted = (text: string): readonly string[] => text.split('\n').sort();
      expect(sorted(await saved(bench.lab, tool))).toEqual(sorted(before));
    });

    it(`${tool}: survives a flush of everything`, async () => {
      await bench.cluster.put(objectsOf('flush', { endpoints }, v4(4)));
      proxy = await start();
      await untilAnswered(bench.lab, 'pod3', target(4));
      for (const table of ['nat', 'filter']) {
        await bench.lab.run('node1', tool, ['-t', table, '-F']);
        await bench.lab.run('node1', tool, ['-t', table, '-X']);
      }
      await proxy.waitForLog(/drift found and repaired/, 10_000);
      await untilAnswered(bench.lab, 'pod3', target(4));
    });

    it(`${tool}: adopts kube-proxy's own chains without a flush`, async () => {
      await cleanUp(variant);
      const fixture = new URL('../fixtures/kube-proxy-1.36.2/iptables-save.txt', import.meta.url).pathname;
      await bench.lab.run('node1', 'sh', [
        '-c',
        `sed 's/-m nfacct --nfacct-name  [a-z_]* //' '${fixture}' | ${tool}-restore --noflush`,
      ]);
      await bench.cluster.put(objectsOf('adopt', { endpoints }, v4(5)));
      proxy = await start();
      await untilAnswered(bench.lab, 'pod3', target(5));
      const after = await saved(bench.lab, tool);
      expect(after).not.toContain('KUBE-PROXY-CANARY');
      expect(after).not.toContain('10.96.1.39/32');
      expect(after).toContain(':KUBE-FIREWALL'); // the kubelet's as much as kube-proxy's
      expect(after.match(/^-A PREROUTING -j KUBE-SERVICES$/gm)).toHaveLength(1);
    });

    it(`${tool}: a Service that the tool refuses is set aside, the others are served`, async () => {
      const refused = objectsOf(
        'refused',
        {
          endpoints,
          spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5_000_000_000 } } },
        },
        v4(6),
      );
      await bench.cluster.put([...refused, ...objectsOf('good', { endpoints }, v4(7))]);
      proxy = await start();
      await untilAnswered(bench.lab, 'pod3', target(7));
      await proxy.waitForLog(/refused by the kernel, set aside.*conformance\/refused:p\/TCP/);
      await bench.cluster.put(objectsOf('refused', { endpoints }, v4(6)));
      await untilAnswered(bench.lab, 'pod3', target(6));
      await bench.cluster.delete([...refused, ...objectsOf('good', { endpoints }, v4(7))]);
    });
  }

  it('uses the tool that the host uses', async () => {
    for (const { variant } of VARIANTS) {
      for (const { variant: former } of VARIANTS) await cleanUp(former);
      await bench.lab.run('node1', `iptables-${variant}`, ['-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT']);
      proxy = bench.cluster.startProxy('node1', FLAGS);
      await proxy.waitForLog(new RegExp(`"tool":"iptables-${variant} `));
      await proxy.stop();
      await bench.lab.run('node1', `iptables-${variant}`, ['-t', 'mangle', '-X', 'KUBE-IPTABLES-HINT']);
    }
    for (const { variant } of VARIANTS) await cleanUp(variant);
  });

  it('keeps the rules when the API server is gone, and resumes when it is back', async () => {
    await bench.cluster.put(objectsOf('outage', { endpoints: [{ on: 'pod1' }] }, v4(8)));
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '--iptables-tool=nft']);
    await untilAnswered(bench.lab, 'pod3', target(8));
    await bench.cluster.stopApiServer();
    await sleep(500);
    await untilAnswered(bench.lab, 'pod3', target(8), 1_000);
    await bench.cluster.startApiServer();
    await bench.cluster.put(objectsOf('after', { endpoints: [{ on: 'pod2' }] }, v4(9)));
    await untilAnswered(bench.lab, 'pod3', target(9), 40_000);
  });

  it('starts without an API server, changes nothing, says so, and goes on when it comes', async () => {
    await bench.cluster.stopApiServer();
    const before = await saved(bench.lab, 'iptables-nft');
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '--iptables-tool=nft']);
    await proxy.waitForLog(/ECONNREFUSED/);
    await proxy.waitForLog(/no rule is changed yet: waiting for the first list/, 10_000);
    expect(await saved(bench.lab, 'iptables-nft')).toBe(before);
    await bench.cluster.startApiServer();
    await bench.cluster.put(objectsOf('late', { endpoints }, v4(10)));
    await untilAnswered(bench.lab, 'pod3', target(10), 40_000);
  });

  it('says exactly what the tool said when it fails, and goes on when it works again', async () => {
    const bin = join(bench.cluster.folder, 'bin');
    await bench.lab.run('node1', 'mkdir', ['-p', bin]);
    const wrapper = join(bin, 'iptables-nft-restore');
    const failing = '#!/bin/sh\necho "iptables-restore: no memory of a ghost" >&2\nexit 3\n';
    await writeFile(wrapper, failing, { mode: 0o755 });
    await bench.cluster.put(objectsOf('ghost', { endpoints }, v4(11)));
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '--iptables-tool=nft'], {
      env: { PATH: `${bin}:${process.env.PATH}` },
    });
    await proxy.waitForLog(/iptables-nft-restore: exit status 3: iptables-restore: no memory of a ghost/);
    await writeFile(wrapper, '#!/bin/sh\nexec /usr/sbin/iptables-nft-restore "$@"\n', { mode: 0o755 });
    await untilAnswered(bench.lab, 'pod3', target(11), 15_000);
  });

  it('waits for the xtables lock, says who holds it, and goes on when it is free', async () => {
    await cleanUp('nft');
    await bench.cluster.put(objectsOf('lock', { endpoints: [{ on: 'pod1' }] }, v4(12)));
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '--iptables-tool=legacy']);
    await untilAnswered(bench.lab, 'pod3', target(12));
    const holder = bench.lab.spawn('node1', 'flock', ['/run/xtables.lock', 'sleep', '7']);
    await sleep(300);
    await bench.cluster.put(objectsOf('locked', { endpoints: [{ on: 'pod1' }] }, v4(13)));
    await proxy.waitForLog(/holding the xtables lock.*the lock is held by pid \d+ \(.*(flock|sleep)/s, 15_000);
    await holder;
    await untilAnswered(bench.lab, 'pod3', target(13), 20_000);
  });

  it('refuses to start without the tool, and touches nothing', async () => {
    proxy = bench.cluster.startProxy('node1', FLAGS, { env: { PATH: '/nonexistent' } });
    expect(await proxy.ended).toBe(1);
    expect(proxy.log()).toContain('iptables is not installed (looked for iptables, iptables-nft, iptables-legacy)');
  });

  it('ends on SIGTERM within a write, leaves the rules, and the next run completes them', async () => {
    await cleanUp('legacy');
    const many = Array.from({ length: 150 }, (_, i) => objectsOf(`many-${i}`, { endpoints }, v4(50 + i))).flat();
    await bench.cluster.put(many);
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '--iptables-tool=nft']);
    await proxy.waitForLog(/pointsman starts/);
    expect(await proxy.stop('SIGTERM')).toBe(0);
    expect(proxy.log()).toContain('pointsman stops, rules stay');
    proxy = bench.cluster.startProxy('node1', [...FLAGS, '--iptables-tool=nft']);
    await untilAnswered(bench.lab, 'pod3', target(199));
    await bench.cluster.delete(many);
  });
});
