/**
 * The conformance table with real packets: the program as it would run, an API server over HTTP, pods on two nodes.
 * Under both iptables tools, over IPv4 and IPv6, TCP and UDP.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { summarize } from '../../src/lab/network/summary.ts';
import { DEFAULT_FLAGS, type Flags, type Probe, ROWS, type Row } from '../conformance/table.ts';
import { ADDRESSES, destinationOf, objectsOf, POD_GATEWAY, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered, VARIANTS } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

/** Enough to see each of four endpoints but for once in 300,000 probes. */
const TRIES = 48;
/** Silence is expected: there is no use in waiting long for it, or often. */
const SILENT = { tries: 3, timeoutMs: 400 };
/** A TCP refusal over IPv6 comes with the second SYN, a second later: see the lab's agent. */
const REFUSED = { tries: 4, timeoutMs: 2_500 };
const FIRST_BARRIER = 251;

const FAMILIES = ['IPv4', 'IPv6'] as const;
const TRANSPORTS = ['TCP', 'UDP'] as const;

const groups = new Map<string, { flags: Flags; rows: Row[] }>();
for (const row of ROWS) {
  const flags = { ...DEFAULT_FLAGS, ...row.flags };
  const key = JSON.stringify(flags);
  const group = groups.get(key) ?? { flags, rows: [] };
  group.rows.push(row);
  groups.set(key, group);
}

let used = 0;
/**
 * Rows of a group, each in every variant, numbered so that no two Services of the whole run share an address or a port:
 * a UDP flow outlives its Service, and would be taken for one of the next Service there.
 */
const cases = (rows: readonly Row[]) =>
  FAMILIES.flatMap((family) => TRANSPORTS.map((protocol) => ({ family, protocol }))).flatMap((variant) =>
    rows.map((row) => {
      used += 1;
      return { row, variant: { ...variant, number: used }, title: row.name };
    }),
  );

const check = async ({ lab }: Bench, probe: Probe, variant: Variant): Promise<void> => {
  const { host, port } = destinationOf(probe.to, variant);
  const protocol = variant.protocol === 'UDP' ? ('udp' as const) : ('tcp' as const);
  const isSilent = probe.expect === 'dropped' || probe.expect === 'untouched';
  const tries = isSilent ? SILENT : probe.expect === 'refused' ? REFUSED : { tries: TRIES };
  const agent = await lab.agent(probe.from);
  const outcomes = await agent.probe({ protocol, host, port, ...tries });
  const { servers, failures } = summarize(outcomes);
  const what = `${probe.from} to ${probe.to} ${host}:${port}`;
  if (probe.expect === 'untouched') return expect(servers, what).toEqual({});
  if (typeof probe.expect === 'string') {
    const failure = probe.expect === 'refused' ? 'refused' : 'timeout';
    return expect({ servers, failures: Object.keys(failures) }, what).toEqual({ servers: {}, failures: [failure] });
  }
  const wanted = probe.expect.map((reached) => reached.split('+')[0] ?? '');
  expect({ servers: Object.keys(servers), failures }, what).toEqual({ servers: [...wanted].sort(), failures: {} });
  const own = [ADDRESSES.node1[variant.family], POD_GATEWAY[variant.family]];
  for (const outcome of outcomes) {
    if (outcome.kind !== 'answer') continue;
    const masqueraded = probe.expect.includes(`${outcome.server as 'pod1'}+m`);
    const sources = masqueraded || probe.from === 'node1' ? own : [ADDRESSES[probe.from][variant.family]];
    expect(sources, `${what}: the source that ${outcome.server} saw`).toContain(outcome.client.address);
  }
};

describeWith([...LAB_NEEDS, program('iptables-nft'), program('iptables-legacy')], 'real packets', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
  });
  afterAll(() => bench?.remove());

  for (const { variant } of VARIANTS) {
    for (const { flags, rows } of groups.values()) {
      const all = cases(rows);
      const name = (i: number): string => `row-${i}`;
      const objects = all.flatMap((c, i) => objectsOf(name(i), c.row.service, c.variant));
      const barriers = FAMILIES.map((family, i) => ({ family, protocol: 'TCP' as const, number: FIRST_BARRIER + i }));
      const barrier = barriers.flatMap((v) => objectsOf(`barrier-${v.family}`, { endpoints: [{ on: 'pod2' }] }, v));

      it(`starts with iptables-${variant} and ${JSON.stringify(flags)}`, async () => {
        const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
        proxy = bench.cluster.startProxy('node1', [...args, `--iptables-tool=${variant}`]);
        await proxy.said(/"ipFamily":"IPv6","fullSync":true/);
        await proxy.said(/"ipFamily":"IPv4","fullSync":true/);
        // objects arrive as events; whatever came before the barrier is in the kernel when the barrier answers
        await bench.cluster.put([...objects, ...barrier]);
        for (const v of barriers)
          await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', ...destinationOf('cluster', v) });
      });

      it.each(all)(`iptables-${variant} $variant.family $variant.protocol: $title`, async ({ row, variant: v }) => {
        await Promise.all(row.probes.map((probe) => check(bench, probe, v)));
      });

      it('stops, and cleans up after itself', async () => {
        expect(await proxy?.stop()).toBe(0);
        await bench.cluster.delete([...objects, ...barrier]);
        const main = new URL('../../dist/main.js', import.meta.url).pathname;
        await bench.lab.run('node1', process.execPath, [main, 'cleanup', `--iptables-tool=${variant}`]);
        const tools = [`iptables-${variant}-save`, `ip6tables-${variant}-save`];
        for (const tool of tools) expect((await bench.lab.run('node1', tool)).stdout).not.toContain('KUBE');
      });
    }
  }
});
