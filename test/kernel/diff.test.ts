/** What `diff` says of a real kernel: nothing after a run, just what is otherwise after somebody was at it; and it writes nothing. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Nftables } from '../../src/nftables-json/nftables.ts';
import { formatElement, formatStatements } from '../../src/nftables-json/text.ts';
import { objectsOf, type ServiceSpec } from '../conformance/world.ts';
import { type Bench, saved, startBench, VARIANTS } from './cluster.ts';
import { inside } from './nft-namespace.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '--hostname-override=node1'];
const SPEC: ServiceSpec = {
  endpoints: [{ on: 'pod1' }, { on: 'remote1' }],
  nodePort: true,
  vip: true,
  spec: { sessionAffinity: 'ClientIP' },
};
const TABLE = { family: 'ip', name: 'kube-proxy' } as const;

interface Said {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

interface Entry {
  readonly owner?: string;
  readonly op: string;
  readonly id: string;
}

describeWith(
  [...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy'), program('setpriv')],
  'diff on a real node',
  () => {
    let bench: Bench;
    beforeAll(async () => {
      bench = await startBench();
      for (const family of ['IPv4', 'IPv6'] as const) {
        await bench.cluster.put(objectsOf(`web-${family.slice(-1)}`, SPEC, { family, protocol: 'TCP', number: 1 }));
      }
    });
    afterAll(() => bench?.remove());

    const diff = async (args: readonly string[], runner: readonly string[] = []): Promise<Said> => {
      const api = `--kubeconfig=${bench.cluster.kubeconfig}`;
      const [tool = '', ...rest] = [...runner, process.execPath, MAIN, 'diff', ...FLAGS, api, ...args];
      return bench.lab.run('node1', tool, rest, { reject: false });
    };

    const entries = async (args: readonly string[]): Promise<readonly string[]> => {
      const { exitCode, stdout } = await diff([...args, '-o', 'json', '--ip-family=ipv4']);
      expect(exitCode).toBe(1);
      const { IPv4, ...others } = JSON.parse(stdout) as Record<string, readonly Entry[]>;
      expect(others).toEqual({});
      return (IPv4 ?? []).map(({ op, id, owner }) => `${op} ${id} of ${owner ?? 'nobody'}`);
    };

    const runOnce = async (args: readonly string[]): Promise<void> => {
      const proxy = bench.cluster.startProxy('node1', [...FLAGS, '-v=2', ...args]);
      await proxy.waitForLog(/"ipFamily":"IPv6","fullSync":true.*\n/);
      await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/);
      await proxy.stop();
    };

    const cleanUp = async (args: readonly string[]): Promise<void> => {
      await bench.lab.run('node1', process.execPath, [MAIN, 'cleanup', ...args]);
    };

    for (const { variant } of VARIANTS) {
      const tool = `iptables-${variant}`;
      const args = ['--proxy-mode=iptables', `--iptables-tool=${variant}`];
      const rules = async (): Promise<readonly string[]> => [
        await saved(bench.lab, tool),
        await saved(bench.lab, `ip6tables-${variant}`),
      ];

      it(`${tool}: says all of it before a run, nothing after it, and just what somebody changed`, async () => {
        const empty = await rules();
        const before = await diff(args);
        expect([before.exitCode, before.stderr]).toEqual([1, '']);
        expect(before.stdout).toMatch(/^# IPv4, mode iptables: \d\d+ differences\n# base\n\+ filter FORWARD -> /);
        expect(before.stdout).not.toMatch(/^[-~] /m);
        expect(await rules()).toEqual(empty);

        await runOnce(args);
        const after = await rules();
        expect(await diff(args)).toMatchObject({
          exitCode: 0,
          stdout: '# IPv4, mode iptables: no difference\n# IPv6, mode iptables: no difference',
        });
        expect(await rules()).toEqual(after);

        const chain = /^:(KUBE-SEP-\S+)/m.exec(after[0] ?? '')?.[1] ?? '';
        for (const change of [
          ['-F', 'KUBE-MARK-MASQ'],
          ['-N', 'KUBE-SVC-NOBODYSSERVICE1'],
          ['-A', 'KUBE-SVC-NOBODYSSERVICE1', '-j', 'RETURN'],
          ['-I', chain, '-p', 'udp', '-j', 'RETURN'],
        ]) {
          await bench.lab.run('node1', tool, ['-t', 'nat', ...change]);
        }
        const changed = await rules();
        expect(await entries(args)).toEqual([
          'replace nat KUBE-MARK-MASQ of base',
          `replace nat ${chain} of conformance/web-4:p/TCP`,
          'remove nat KUBE-SVC-NOBODYSSERVICE1 of nobody',
        ]);
        const text = (await diff([...args, '--ip-family=ipv4'])).stdout;
        expect(text.replaceAll(chain, 'KUBE-SEP-X')).toMatchInlineSnapshot(`
          "# IPv4, mode iptables: 3 differences
          # base
          ~ nat KUBE-MARK-MASQ
          +   -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
              (1 line as wanted)
          # conformance/web-4:p/TCP
          ~ nat KUBE-SEP-X
          -   -A KUBE-SEP-X -p udp -j RETURN
              (3 lines as wanted)
          # wanted by nobody
          - nat KUBE-SVC-NOBODYSSERVICE1
          -   :KUBE-SVC-NOBODYSSERVICE1 - [0:0]
          -   -A KUBE-SVC-NOBODYSSERVICE1 -j RETURN"
        `);
        expect(await rules()).toEqual(changed);
        await cleanUp(args);
      });
    }

    it('nftables: says nothing after a run, and just what somebody changed', async () => {
      const args = ['--proxy-mode=nftables'];
      const nftables = inside(bench.lab.host('node1').namespace, () => Nftables.open());
      const listed = async (): Promise<readonly string[]> => {
        const listing = nftables.list(TABLE.family, TABLE.name);
        const lines = (listing?.rules ?? []).map(({ chain, expr }) => `${chain}: ${formatStatements(expr)}`);
        for (const { declaration } of listing?.sets ?? []) {
          await nftables.visit(declaration, (element) => lines.push(`${declaration.name}: ${formatElement(element)}`));
        }
        return lines;
      };
      expect((await diff(args)).exitCode).toBe(1);
      expect(await listed()).toEqual([]);
      await runOnce(args);
      const after = await listed();
      const generation = nftables.generation();
      expect(await diff(args)).toMatchObject({
        exitCode: 0,
        stdout: '# IPv4, mode nftables: no difference\n# IPv6, mode nftables: no difference',
      });

      const place = { family: 'ip', table: 'kube-proxy' } as const;
      const vip = { concat: ['10.96.1.1', 'tcp', 80] } as const;
      const sets = (nftables.list(TABLE.family, TABLE.name)?.sets ?? []).map(({ declaration }) => declaration);

      nftables.run(
        [
          { delete: { element: { ...place, name: 'service-ips', elem: [vip] } } },
          { add: { chain: { ...place, name: 'theirs' } } },
          { add: { rule: { ...place, chain: 'services', expr: [{ accept: null }] } } },
        ],
        { sets },
      );
      const changed = await listed();
      expect(changed).not.toEqual(after);
      expect(await entries(args)).toEqual([
        'replace chain services of base',
        'replace frontend 10.96.1.1 . tcp . 80 of conformance/web-4:p/TCP',
        'remove chain theirs of nobody',
      ]);
      expect(await listed()).toEqual(changed);
      expect(nftables.generation()).toBe(generation + 1);
      nftables.close();
      await cleanUp(args);
    });

    it('ends with 2, and says why, where it cannot tell', async () => {
      const [unprivileged, flag, source] = [
        await diff(['--proxy-mode=nftables'], ['setpriv', '--bounding-set=-net_admin']),
        await diff(['--no-such-flag']),
        await diff(['--proxy-mode=nftables', '--source=files:/nonexistent']),
      ];
      expect(unprivileged).toMatchObject({ exitCode: 2, stdout: '' });
      expect(unprivileged.stderr).toContain('mode nftables needs root, or the capability CAP_NET_ADMIN');
      expect(flag).toMatchObject({ exitCode: 2, stdout: '' });
      expect(flag.stderr).toContain('unknown flag --no-such-flag');
      expect(source).toMatchObject({ exitCode: 2, stdout: '' });
      expect(source.stderr).toContain('the folder of objects cannot be read');
    });
  },
);
