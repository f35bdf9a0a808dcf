/**
 * The configuration changes while the program runs, under load: in the same process, with no failed connection. What cannot be
 * used changes nothing.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { Nftables } from '../../src/nftables-json/nftables.ts';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, saved, startBench, untilAnswered } from './cluster.ts';
import { inside } from './nft-namespace.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const TOOL = 'iptables-nft';
const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const endpoints = [{ on: 'pod1' }, { on: 'remote1' }] as const;
const target = (number: number) => ({ protocol: 'tcp' as const, host: `10.96.1.${number}`, port: 80 });
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Choices {
  readonly mode?: 'iptables' | 'nftables';
  readonly masqueradeAll?: boolean;
  readonly more?: string;
}

/** Whoever asks; otherwise what is not a pod's. */
const MASQUERADED = /^-A KUBE-SVC-\S+ -d 10\.96\.1\.1\/32 .*-j KUBE-MARK-MASQ$/m;
const PATIENCE = { timeout: 20_000, interval: 50 };

/** Asleep, at work or gone, and what it sleeps in: a process that says nothing is otherwise a riddle. */
const stateOf = ({ pid }: NodeProxy): string => {
  const part = (name: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${name}`, 'utf8').trim();
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? '';
    }
  };
  return [/^State:.*$/m.exec(part('status'))?.[0] ?? 'gone', part('wchan'), part('stat')].join(' | ');
};

describeWith([...LAB_NEEDS, program(TOOL)], 'a configuration that changes', () => {
  let bench: Bench;
  let nftables: Nftables;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
    nftables = inside(bench.lab.host('node1').namespace, () => Nftables.open());
    await bench.cluster.put(objectsOf('web', { nodePort: true, endpoints }, v4(1)));
  });
  afterAll(async () => {
    nftables?.close();
    await bench?.remove();
  });
  afterEach(async () => {
    await proxy?.stop('SIGKILL');
    proxy = undefined;
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup', '--iptables-tool=nft']);
  });

  const text = (choices: Choices = {}, kubeconfig: string = bench.cluster.kubeconfig): string => `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ${choices.mode ?? 'iptables'}
clientConnection: {kubeconfig: ${kubeconfig}}
clusterCIDR: 10.200.0.0/16,fd20::/48
hostnameOverride: node1
logging: {verbosity: 2}
iptables: {masqueradeAll: ${choices.masqueradeAll ?? false}}
nftables: {masqueradeAll: ${choices.masqueradeAll ?? false}}
${choices.more ?? ''}
`;

  /** Waits for a line that was not there before. */
  const saysNext = async (started: NodeProxy, after: number, pattern: RegExp): Promise<void> =>
    vi.waitFor(() => {
      if (pattern.test(started.log().slice(after))) return;
      throw new Error(`not said: ${pattern}; the process: ${stateOf(started)}\n${started.log()}`);
    }, PATIENCE);

  const synced = async (started: NodeProxy, after: number): Promise<void> => {
    for (const family of ['IPv4', 'IPv6']) {
      await saysNext(started, after, new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`));
    }
  };

  const start = async (file: string): Promise<NodeProxy> => {
    const args = [`--config=${file}`, '--iptables-tool=nft'];
    proxy = bench.cluster.startProxy('node1', args, { withKubeconfig: false });
    await synced(proxy, 0);
    await untilAnswered(bench.lab, 'pod3', target(1));
    return proxy;
  };

  /** While this goes on no connection fails, and one that is open stays so. */
  const underLoad = async (action: () => Promise<void>): Promise<void> => {
    const held = await (await bench.lab.agent('pod3')).hold({ ...target(1), timeoutMs: 2_000 });
    const loads = await Promise.all(
      (['pod3', 'outside'] as const).map(async (from) =>
        (await bench.lab.agent(from)).load({ ...target(1), parallel: 4, pauseMs: 2, timeoutMs: 2_000 }),
      ),
    );
    await action();
    await sleep(300);
    for (const load of loads) {
      const { tries, answers, failures } = await load.stop();
      expect(failures).toEqual({});
      expect(answers).toBe(tries);
      expect(answers).toBeGreaterThan(100);
    }
    expect(await held.stop()).toMatchObject({ alive: true });
  };

  const descriptors = ({ pid }: NodeProxy): readonly string[] =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\[.*/, '')];
      } catch {
        return []; // closed meanwhile
      }
    });

  it('counts at once, under load, in the same process; and nothing is left of many of them', async () => {
    const file = join(bench.cluster.folder, 'changing.yaml');
    await writeFile(file, text());
    const started = await start(file);
    expect(await saved(bench.lab, TOOL)).not.toMatch(MASQUERADED);
    await underLoad(async () => {
      const after = started.log().length;
      await writeFile(file, text({ masqueradeAll: true }));
      await saysNext(started, after, /the configuration changed.*iptables\.masqueradeAll: false → true/);
      await synced(started, after);
    });
    expect(await saved(bench.lab, TOOL)).toMatch(MASQUERADED);
    const before = descriptors(started).length;
    for (const masqueradeAll of [false, true, false]) {
      const after = started.log().length;
      await writeFile(file, text({ masqueradeAll }));
      await synced(started, after);
    }
    await vi.waitFor(() => expect(descriptors(started).length).toBeLessThanOrEqual(before), PATIENCE);
    await bench.cluster.put(objectsOf('later', { endpoints }, v4(2)));
    await untilAnswered(bench.lab, 'pod3', target(2));
    expect(await started.stop()).toBe(0);
  });

  it('changes the mode when a ConfigMap is swapped for another, and back', async () => {
    const volume = join(bench.cluster.folder, 'volume');
    /** As the kubelet does: a new folder, and a link to it that takes the old one's place. */
    const put = async (name: string, content: string): Promise<void> => {
      await mkdir(join(volume, name), { recursive: true });
      await writeFile(join(volume, name, 'config.conf'), content);
      await symlink(name, join(volume, '..data_tmp'));
      await rename(join(volume, '..data_tmp'), join(volume, '..data'));
    };
    await put('..v1', text());
    await symlink('..data/config.conf', join(volume, 'config.conf'));
    const more = 'nodePortAddresses: [0.0.0.0/0, "::/0"]';
    const started = await start(join(volume, 'config.conf'));
    const before = descriptors(started).length;
    await underLoad(async () => {
      for (const [mode, former] of [
        ['nftables', 'iptables'],
        ['iptables', 'nftables'],
      ] as const) {
        const after = started.log().length;
        await put(`..to-${mode}`, text({ mode, more }));
        await synced(started, after);
        await saysNext(started, after, new RegExp(`"ipFamily":"IPv6","mode":"${former}","removed":\\d+,"left":0`));
        const chains = (await saved(bench.lab, TOOL)).replace(/^.*KUBE-FIREWALL.*\n/gm, '');
        expect(chains.includes('KUBE-SERVICES')).toBe(mode === 'iptables');
        expect(nftables.list('ip', 'kube-proxy') === undefined).toBe(mode === 'iptables');
      }
    });
    await vi.waitFor(() => expect(descriptors(started).length).toBeLessThanOrEqual(before), PATIENCE);
    expect(await started.stop()).toBe(0);
  });

  it('and is none changes nothing, and says what is wrong with it', async () => {
    const file = join(bench.cluster.folder, 'broken.yaml');
    await writeFile(file, text());
    const started = await start(file);
    const before = await saved(bench.lab, TOOL);
    const after = started.log().length;
    await writeFile(file, text({ more: 'oomScoreAdj: lots' }));
    const said =
      /the changed configuration cannot be used, the one in force stays.*oomScoreAdj: expected a whole number/s;
    await saysNext(started, after, said);
    expect(await saved(bench.lab, TOOL)).toBe(before);
    expect(started.log().slice(after)).not.toContain('pointsman stops');
    await bench.cluster.put(objectsOf('meanwhile', { endpoints }, v4(3)));
    await untilAnswered(bench.lab, 'pod3', target(3));
  });

  it('and does not work is given up for the one before', async () => {
    const file = join(bench.cluster.folder, 'useless.yaml');
    await writeFile(file, text());
    const started = await start(file);
    await underLoad(async () => {
      const after = started.log().length;
      await writeFile(file, text({ more: 'bindAddressHardFail: true\nhealthzBindAddress: 203.0.113.1:10256' }));
      await saysNext(
        started,
        after,
        /the new configuration does not work, the last one is back.*203\.0\.113\.1:10256/s,
      );
      await synced(started, after);
    });
    const after = started.log().length;
    await writeFile(file, text({ masqueradeAll: true }));
    await synced(started, after);
    expect(await saved(bench.lab, TOOL)).toMatch(MASQUERADED);
  });

  it('follows a kubeconfig that leads elsewhere', async () => {
    const kubeconfig = join(bench.cluster.folder, 'moved');
    const leadingTo = (server: string): string =>
      JSON.stringify({
        clusters: [{ name: 'lab', cluster: { server } }],
        users: [{ name: 'node', user: {} }],
        contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'node' } }],
        'current-context': 'lab',
      });
    await writeFile(kubeconfig, leadingTo(bench.cluster.url.replace(/\d+$/, '1')));
    const file = join(bench.cluster.folder, 'moved.yaml');
    await writeFile(file, text({}, kubeconfig));
    const args = [`--config=${file}`, '--iptables-tool=nft'];
    proxy = bench.cluster.startProxy('node1', args, { withKubeconfig: false });
    await proxy.waitForLog(/ECONNREFUSED/);
    await writeFile(kubeconfig, '{}');
    await proxy.waitForLog(/cannot be used, the one in force stays.*current-context is missing/s);
    await writeFile(kubeconfig, leadingTo(bench.cluster.url));
    await synced(proxy, 0);
    await untilAnswered(bench.lab, 'pod3', target(1));
  });
});
