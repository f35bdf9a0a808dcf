/** The DaemonSet's containers in mode ipvs: the first one makes a kernel without IPVS settings one that the second can use. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NODE_OBJECT, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from '../kernel/cluster.ts';
import { commandOf, type Pod, preparePod } from '../kernel/container.ts';

const TCP: Variant = { family: 'IPv4', protocol: 'TCP', number: 1 };
const OBJECTS = [NODE_OBJECT, ...objectsOf('web', { endpoints: [{ on: 'pod1' }, { on: 'remote1' }] }, TCP)];
const SERVICE = { protocol: 'tcp', host: '10.96.1.1', port: 80 } as const;
/** The kernel has no nf_tables. */
const OPTIONS = { nodeName: 'node1', args: ['--source=files:/objects', '--iptables-tool=legacy'] };
const ANSWER_MS = 60_000;

let bench: Bench;
let folder: string;
let pod: Pod;
beforeAll(async () => {
  bench = await startBench();
  folder = await mkdtemp(join(tmpdir(), 'pointsman-pod-'));
  pod = await preparePod('ipvs', OBJECTS, folder);
});
afterAll(async () => {
  await bench?.remove();
  await rm(folder, { recursive: true, force: true });
});

const split = (words: readonly string[]): readonly [string, readonly string[]] => [words[0] ?? '', words.slice(1)];
const setting = async (): Promise<string> =>
  (await bench.lab.run('node1', 'sysctl', ['-n', 'net.ipv4.vs.conntrack'])).stdout;

it('the init container sets what IPVS needs', async () => {
  expect(await setting()).toBe('0');
  const { stderr } = await bench.lab.run('node1', ...split(commandOf(pod, pod.initContainer, OPTIONS)));
  expect(stderr).toContain('node prepared');
  expect(await setting()).toBe('1');
});

it('the proxy serves with the capabilities that it lists, although it can set nothing', async () => {
  const running = bench.lab.spawn('node1', ...split(commandOf(pod, pod.proxy, OPTIONS)), {
    stderr: 'pipe',
    stdout: 'ignore',
  });
  await untilAnswered(bench.lab, 'pod3', SERVICE, ANSWER_MS);
  running.kill('SIGTERM');
  const { stderr, exitCode } = await running;
  // no kubelet gave it the score that it asks for
  const said = `${stderr}`.replace(/^.*the OOM score stays as it is.*\n.*error: .*$/m, '');
  expect(said).not.toMatch(/failed|missing|EACCES|EPERM/);
  expect(`${stderr}`).toContain('rules stay');
  expect(exitCode).toBe(0);
});

it('the proxy says so when it lacks NET_ADMIN or NET_RAW', async () => {
  const without = async (capabilities: readonly string[]) =>
    (
      await bench.lab.run(
        'node1',
        'timeout',
        ['-s', 'TERM', '15', ...commandOf(pod, pod.proxy, { ...OPTIONS, capabilities })],
        {
          reject: false,
        },
      )
    ).stderr;
  expect(await without(['NET_RAW'])).toContain('mode ipvs needs root, or the capability CAP_NET_ADMIN');
  expect(await without(['NET_ADMIN'])).toContain('the capability CAP_NET_RAW is missing');
});
