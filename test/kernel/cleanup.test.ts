/** What cleanup takes away, and what it leaves: rule sets recorded from kube-proxy 1.36.2, and ours, on a node of their own. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createNetwork, type Lab } from '../../src/lab/network/lab.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const RECORDED = new URL('../fixtures/kube-proxy-1.36.2/', import.meta.url).pathname;

describeWith([...LAB_NEEDS, program('iptables-nft'), program('nft')], 'cleanup', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createNetwork({ pods: { node1: 0, node2: 0 } });
  });
  afterAll(() => lab?.remove());

  const on = async (script: string): Promise<string> => (await lab.run('node1', 'sh', ['-c', script])).stdout;
  const cleanup = (...flags: readonly string[]) =>
    lab.run('node1', process.execPath, [MAIN, 'cleanup', '--iptables-tool=nft', ...flags], { reject: false });
  /** Without KUBE-FIREWALL, which we share with the kubelet. */
  const listing = async (): Promise<string> =>
    (await on('iptables-nft-save; ip6tables-nft-save; nft -s list table ip kube-proxy 2>/dev/null || true')).replace(
      /^#.*$|^.*KUBE-FIREWALL.*\n|\[\d+:\d+\]/gm,
      '',
    );

  it.each([
    [
      'iptables',
      `sed 's/-m nfacct --nfacct-name  [a-z_]* //' ${RECORDED}iptables-save.txt | iptables-nft-restore --noflush`,
      /^IPv4 nat KUBE-SERVICES$/m,
    ],
    ['nftables', `nft -f ${RECORDED}nft.txt`, /^IPv4 table$/m],
  ])('leaves what kube-proxy made in mode %s, unless it is told not to', async (mode, install, removed) => {
    await on(install);
    const before = await listing();
    expect(before).toMatch(/kube-proxy|KUBE-SVC/);
    const kept = await cleanup();
    expect(kept).toMatchObject({ exitCode: 0, stdout: '' });
    expect(kept.stderr).toMatch(new RegExp(`IPv4: kube-proxy made \\d+ objects of mode ${mode}, .*--kube-proxy`));
    expect(await listing()).toBe(before);
    const gone = await cleanup('--kube-proxy');
    expect(gone).toMatchObject({ exitCode: 0, stderr: '' });
    expect(gone.stdout).toMatch(removed);
    expect(await listing()).not.toMatch(/KUBE-|kube-proxy/);
  });

  it('removes ours, and nothing of others', async () => {
    const others = `iptables-nft -t nat -N THEIRS; iptables-nft -t nat -A PREROUTING -p tcp --dport 9999 -j THEIRS; nft add table ip theirs`;
    await on(others);
    const before = await listing();
    const dump = `${process.execPath} ${MAIN} dump --source=files:${RECORDED} --node=node1 --cluster-cidr=10.200.0.0/16`;
    await on(`${dump} | iptables-nft-restore --noflush`);
    expect(await listing()).toContain('KUBE-SERVICES');
    const { exitCode, stdout, stderr } = await cleanup();
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(/^IPv4 nat PREROUTING -> KUBE-SERVICES$/m);
    expect(await listing()).toBe(before);
    expect(await on('nft list tables')).toContain('table ip theirs');
  });

  it('fails, and says what, where somebody’s rule needs ours', async () => {
    await on('iptables-nft -t nat -N KUBE-SERVICES; iptables-nft -t nat -A THEIRS -j KUBE-SERVICES');
    const { exitCode, stderr } = await cleanup();
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/KUBE-SERVICES.*1 objects are left/s);
    await on('iptables-nft -t nat -F THEIRS');
    expect(await cleanup()).toMatchObject({ exitCode: 0 });
  });
});
