/** The dry run against the real thing: the same text from files and from the API, and what is in the kernel after a run. */
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Bench, saved, startBench, VARIANTS } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const FIXTURE = new URL('../fixtures/kube-proxy-1.36.2/objects.json', import.meta.url).pathname;
const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '--proxy-mode=iptables'];
const FAMILIES = [
  { family: 'ipv4', tool: 'iptables' },
  { family: 'ipv6', tool: 'ip6tables' },
] as const;

/** Chain → its rules in order, of everything that is ours; for built-in chains the rules that lead to us. */
const chainsOf = (text: string): Readonly<Record<string, readonly string[]>> => {
  const chains: Record<string, string[]> = {};
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    const declared = /^:(KUBE\S*)/.exec(line)?.[1];
    if (declared !== undefined) chains[`${table} ${declared}`] ??= [];
    const [, chain, rule] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain === undefined || rule === undefined || !`${chain} ${rule}`.includes('KUBE')) continue;
    chains[`${table} ${chain}`] = [...(chains[`${table} ${chain}`] ?? []), rule];
  }
  return chains;
};

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'the dry run', () => {
  let bench: Bench;
  const dump = async (args: readonly string[]): Promise<string> =>
    (await bench.lab.run('node1', process.execPath, [MAIN, 'dump', ...FLAGS, '--node=node1', ...args])).stdout;

  beforeAll(async () => {
    bench = await startBench();
    const folder = join(bench.cluster.folder, 'objects');
    await mkdir(folder);
    await copyFile(FIXTURE, join(folder, 'objects.json'));
    const { items } = JSON.parse(await readFile(FIXTURE, 'utf8')) as { items: object[] };
    // in another order than in the file
    await bench.cluster.put([...items].reverse() as Parameters<typeof bench.cluster.put>[0]);
  });
  afterAll(() => bench?.remove());

  it.each(FAMILIES)('$family: is the same from files and from the API, to the byte', async ({ family }) => {
    const fromFiles = await dump([`--source=files:${join(bench.cluster.folder, 'objects')}`, `--ip-family=${family}`]);
    const fromApi = await dump([`--kubeconfig=${bench.cluster.kubeconfig}`, `--ip-family=${family}`]);
    expect(fromFiles.length).toBeGreaterThan(1_000);
    expect(fromApi).toBe(fromFiles);
    const dryRun = await bench.lab.run('node1', process.execPath, [
      ...[MAIN, 'run', ...FLAGS, '--dry-run', '--hostname-override=node1', `--kubeconfig=${bench.cluster.kubeconfig}`],
    ]);
    if (family === 'ipv4') expect(`${dryRun.stdout}`).toBe(fromFiles);
  });

  for (const { variant } of VARIANTS) {
    it.each(FAMILIES)(
      `${variant} $family: is accepted by the tool, which changes nothing`,
      async ({ family, tool }) => {
        const input = await dump([`--kubeconfig=${bench.cluster.kubeconfig}`, `--ip-family=${family}`]);
        await bench.lab.run('node1', `${tool}-${variant}-restore`, ['--test'], { input: `${input}\n` });
        expect(await saved(bench.lab, `${tool}-${variant}`)).not.toContain('KUBE');
      },
    );

    it(`${variant}: equals what the tool shows after a run`, async () => {
      const proxy = bench.cluster.startProxy('node1', [...FLAGS, `--iptables-tool=${variant}`]);
      await proxy.waitForLog(/"ipFamily":"IPv6","fullSync":true/);
      await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true/);
      await proxy.stop();
      for (const { family, tool } of FAMILIES) {
        const dumped = chainsOf(await dump([`--kubeconfig=${bench.cluster.kubeconfig}`, `--ip-family=${family}`]));
        expect(Object.keys(dumped).length).toBeGreaterThan(20);
        expect(chainsOf(await saved(bench.lab, `${tool}-${variant}`))).toEqual(dumped);
      }
      await bench.lab.run('node1', process.execPath, [MAIN, 'cleanup', `--iptables-tool=${variant}`]);
    });
  }

  it('needs neither root nor kernel', async () => {
    const folder = join(bench.cluster.folder, 'objects');
    const args = [MAIN, 'dump', ...FLAGS, '--node=node1', `--source=files:${folder}`];
    await bench.lab.run('node1', 'chmod', ['-R', 'a+rX', bench.cluster.folder]);
    const asNobody = ['--reuid=65534', '--regid=65534', '--clear-groups', 'env', 'PATH=/nonexistent', process.execPath];
    const { stdout } = await bench.lab.run('node1', 'setpriv', [...asNobody, ...args]);
    expect(stdout).toContain('*nat');
  });

  it('gives the objects as JSON', async () => {
    const text = await dump([`--kubeconfig=${bench.cluster.kubeconfig}`, '-o', 'json']);
    const families = JSON.parse(text) as Record<string, { owner: string; objects: { kind: string; id: string }[] }[]>;
    expect(Object.keys(families)).toEqual(['IPv4', 'IPv6']);
    const owners = families.IPv4?.map(({ owner }) => owner) ?? [];
    expect(owners[0]).toBe('base');
    expect(owners).toContain('n/basic:p/TCP');
    expect(owners.at(-1)).toBe('dispatch');
  });
});
