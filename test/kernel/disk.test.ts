/**
 * The program on a real node whose disk fails it: a log that cannot be written, a folder for lock files that cannot be written, a
 * configuration file that is half there or not there. The work goes on, and is told where somebody can read it.
 */
import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResultPromise } from 'execa';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const SERVICE = objectsOf('first', { endpoints: [{ on: 'pod1' }] }, v4(80));
const LATER = objectsOf('later', { endpoints: [{ on: 'pod1' }] }, v4(81));
const at = (number: number) => ({ protocol: 'tcp', host: `10.96.1.${number}`, port: 80 }) as const;
const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const PATIENCE_MS = 30_000;

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'a disk that fails', () => {
  let bench: Bench;
  let running: ResultPromise | undefined;
  beforeAll(async () => {
    bench = await startBench();
    await bench.cluster.put(SERVICE);
  });
  afterAll(async () => {
    await bench?.remove();
  });
  afterEach(async () => {
    running?.kill('SIGKILL');
    await running;
    running = undefined;
    await bench.cluster.delete(LATER);
    for (const tool of ['nft', 'legacy']) {
      await bench.lab.run('node1', process.execPath, [MAIN, 'cleanup', `--iptables-tool=${tool}`]);
    }
  });

  /** `around` is a shell's command in which `PROXY` stands for the program. */
  const start = (around: string, flags: readonly string[]) => {
    const words = ['run', '--conntrack-max-per-core=0', '--hostname-override=node1', ...flags];
    const line = around.replace('PROXY', `exec ${process.execPath} ${MAIN} ${words.join(' ')}`);
    const started = bench.lab.spawn('node1', 'bash', ['-c', line], {
      env: { PIPE: join(bench.cluster.folder, 'pipe') },
      stdout: 'ignore',
      stderr: 'pipe',
      buffer: false,
    });
    running = started;
    let log = '';
    started.stderr?.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
    return { pid: started.pid ?? 0, log: () => log };
  };

  const flags = (): readonly string[] => [
    `--kubeconfig=${bench.cluster.kubeconfig}`,
    '--cluster-cidr=10.200.0.0/16,fd20::/48',
  ];

  const scraped = async (name: string): Promise<number> => {
    const script = "fetch('http://127.0.0.1:10249/metrics').then(async (reply) => console.log(await reply.text()))";
    const { stdout } = await bench.lab.run('node1', process.execPath, ['-e', script]);
    return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stdout)?.[1]);
  };

  const worksOn = async (): Promise<void> => {
    await bench.cluster.put(LATER);
    await untilAnswered(bench.lab, 'pod3', at(81), PATIENCE_MS);
  };

  it.each([
    ['on a full disk, as text', 'PROXY 2>/dev/full', []],
    ['on a full disk, as JSON', 'PROXY 2>/dev/full', ['--logging-format=json']],
    ['in a pipe that is closed', 'PROXY 2> >(exec 0<&-)', ['--logging-format=json']],
    ['in a pipe that nobody reads', 'mkfifo $PIPE && exec 3<>$PIPE && PROXY 2>$PIPE', ['-v=9']],
  ])('a log %s: Services are served, and changes are written', async (name, around, more) => {
    start(around, ['--proxy-mode=nftables', ...flags(), ...more]);
    await untilAnswered(bench.lab, 'pod3', at(80), PATIENCE_MS);
    await worksOn();
    if (!name.includes('nobody')) expect(await scraped('pointsman_log_lines_lost_total')).toBeGreaterThan(0);
    running?.kill('SIGTERM');
    expect((await running)?.exitCode).toBe(0);
  });

  it('no lock file can be made: said, and served once it can', async () => {
    const around = "exec unshare -m bash -c 'mount -t tmpfs -o ro none /run && PROXY'";
    const { pid, log } = start(around, ['--proxy-mode=iptables', '--iptables-tool=legacy', ...flags()]);
    await vi.waitFor(() => expect(log()).toMatch(/Read-only file system/), PATIENCE_MS);
    const [outcome] = await (await bench.lab.agent('pod3')).probe({ ...at(80), tries: 1, timeoutMs: 300 });
    expect(outcome?.kind).not.toBe('answer');
    await bench.lab.run('node1', 'nsenter', ['-t', `${pid}`, '-m', 'mount', '-o', 'remount,rw', '/run']);
    await untilAnswered(bench.lab, 'pod3', at(80), PATIENCE_MS);
    await worksOn();
  });

  it('a configuration file that is half written, empty, gone and whole again: the one in force stays', async () => {
    const file = join(bench.cluster.folder, 'disk.yaml');
    const text = [
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1',
      'kind: KubeProxyConfiguration',
      'mode: nftables',
      'clusterCIDR: 10.200.0.0/16,fd20::/48',
      `clientConnection: {kubeconfig: ${bench.cluster.kubeconfig}}`,
      '',
    ].join('\n');
    await writeFile(file, text);
    const { log } = start('PROXY', [`--config=${file}`]);
    await untilAnswered(bench.lab, 'pod3', at(80), PATIENCE_MS);
    const refused = async (cause: () => Promise<void>): Promise<void> => {
      const after = log().length;
      await cause();
      await vi.waitFor(() => expect(log().slice(after)).toMatch(/cannot be used, the one in force stays/), {
        timeout: PATIENCE_MS,
      });
    };
    await refused(() => truncate(file, text.indexOf('kubeconfig:')));
    await refused(() => writeFile(file, ''));
    await refused(() => rm(file));
    await worksOn();
    await writeFile(file, text);
    await vi.waitFor(async () => expect(await scraped('pointsman_config_outdated')).toBe(0), PATIENCE_MS);
    expect(log().match(/pointsman starts/g)).toHaveLength(1);
  });
});
