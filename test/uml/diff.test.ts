/** What `diff` says of a node in mode ipvs: nothing after a run, and just what somebody changed; and it writes nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { objectsOf, type ServiceSpec } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from '../kernel/cluster.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const FLAGS = ['--proxy-mode=ipvs', '--cluster-cidr=10.200.0.0/16,fd20::/48', '--hostname-override=node1'];
const SPEC: ServiceSpec = { endpoints: [{ on: 'pod1' }, { on: 'remote1' }], nodePort: true, vip: true };
const ANSWER_MS = 60_000;

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
  for (const family of ['IPv4', 'IPv6'] as const) {
    await bench.cluster.put(objectsOf(`web-${family.slice(-1)}`, SPEC, { family, protocol: 'TCP', number: 1 }));
  }
});
afterAll(() => bench?.remove());

const on = async (tool: string, ...args: readonly string[]): Promise<string> =>
  (await bench.lab.run('node1', tool, args, { timeoutMs: ANSWER_MS })).stdout;

const diff = (...args: readonly string[]) => {
  const words = [MAIN, 'diff', ...FLAGS, `--kubeconfig=${bench.cluster.kubeconfig}`, ...args];
  return bench.lab.run('node1', process.execPath, words, { reject: false, timeoutMs: ANSWER_MS });
};

const listing = async (): Promise<readonly string[]> => [
  await on('ipvsadm', '-Sn'),
  (await on('ipset', 'save')).split('\n').sort().join('\n'),
  await on('ip', '-o', 'address', 'show'),
  (await on('iptables-save')).replace(/^#.*$/gm, '').replace(/\[\d+:\d+\]/g, ''),
];

it('mode ipvs: names what drains, which is no difference', async () => {
  const variant = { family: 'IPv4', protocol: 'TCP', number: 2 } as const;
  await bench.cluster.put(objectsOf('drained', { endpoints: [{ on: 'pod1' }] }, variant));
  const proxy = bench.cluster.startProxy('node1', [...FLAGS, '-v=2']);
  const target = { protocol: 'tcp', host: '10.96.1.2', port: 80 } as const;
  await untilAnswered(bench.lab, 'pod3', target, ANSWER_MS);
  const held = await (await bench.lab.agent('pod3')).hold({ ...target, timeoutMs: 10_000 });
  await bench.cluster.put(objectsOf('drained', { endpoints: [{ on: 'remote1' }] }, variant));
  for (const deadline = Date.now() + ANSWER_MS; ; await sleep(200)) {
    if (/-t 10\.96\.1\.2:80 -r 10\.200\.0\.11:8080 -m -w 0/.test(await on('ipvsadm', '-Sn'))) break;
    if (Date.now() > deadline) throw new Error('it does not drain');
  }
  await proxy.stop();
  expect(await diff('--ip-family=ipv4')).toMatchObject({
    exitCode: 0,
    stdout: [
      '# IPv4, mode ipvs: no difference',
      '# draining, until their connections end',
      '  server -t 10.96.1.2:80 -r 10.200.0.11:8080',
    ].join('\n'),
  });
  expect(await held.stop()).toMatchObject({ alive: true, server: 'pod1' });
  await bench.cluster.delete(objectsOf('drained', { endpoints: [] }, variant));
  await on(process.execPath, MAIN, 'cleanup', '--proxy-mode=ipvs');
});

it('mode ipvs: says nothing after a run, and just what somebody changed', async () => {
  const before = await listing();
  const first = await diff();
  expect([first.exitCode, first.stderr]).toEqual([1, '']);
  expect(first.stdout).toMatch(/^\+ service -t /m);
  expect(first.stdout).not.toMatch(/^- \S/m);
  expect(await listing()).toEqual(before);

  const proxy = bench.cluster.startProxy('node1', [...FLAGS, '-v=2']);
  for (const family of ['IPv6', 'IPv4']) {
    await proxy.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`), ANSWER_MS);
  }
  await proxy.stop();
  const after = await listing();
  expect(await diff()).toMatchObject({
    exitCode: 0,
    stdout: '# IPv4, mode ipvs: no difference\n# IPv6, mode ipvs: no difference',
  });
  expect(await listing()).toEqual(after);

  await on('ipvsadm', '-d', '-t', '10.96.1.1:80', '-r', '10.200.0.11:8080');
  await on('ipset', 'add', 'KUBE-CLUSTER-IP', '10.96.9.9,tcp:99');
  const changed = await listing();
  const { exitCode, stdout } = await diff('--ip-family=ipv4');
  expect(exitCode).toBe(1);
  expect(stdout).toMatchInlineSnapshot(`
    "# IPv4, mode ipvs: 2 differences
    # conformance/web-4:p/TCP
    + server -t 10.96.1.1:80 -r 10.200.0.11:8080
    +   -a -t 10.96.1.1:80 -r 10.200.0.11:8080 -m -w 1
    # wanted by nobody
    - entry KUBE-CLUSTER-IP 10.96.9.9,tcp:99
    -   add KUBE-CLUSTER-IP 10.96.9.9,tcp:99"
  `);
  expect(await listing()).toEqual(changed);
});
