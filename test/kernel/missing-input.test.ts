/**
 * The program on a real node whose cluster withholds what it can do without: ClusterIPs answer all the same, and what is missing is
 * told where people look, but not where nobody has to act.
 */
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { NODE_OBJECT, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const VARIANT: Variant = { family: 'IPv4', protocol: 'TCP', number: 70 };
const SERVICE = objectsOf('served', { endpoints: [{ on: 'pod1' }] }, VARIANT);
const CLUSTER_IP = { protocol: 'tcp', host: '10.96.1.70', port: 80 } as const;
const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
/** NodePorts are at the Node's first address in mode nftables, at all that the node has in mode iptables. */
const MODES = [
  ['nftables', ['addresses of Node node1'], ['--proxy-mode=nftables']],
  ['iptables', [], ['--proxy-mode=iptables', '--iptables-tool=nft']],
] as const;
/** So long the program waits for optional lists and tells nobody what is missing; twice, for a slow machine. */
const SOON_MS = 20_000;

describeWith([...LAB_NEEDS, program('iptables-nft')], 'a cluster that withholds what can be done without', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench();
    await bench.cluster.put(SERVICE);
  });
  afterAll(async () => {
    await bench?.remove();
  });
  afterEach(async () => {
    await bench.cluster.clearFaults();
    await bench.cluster.put([NODE_OBJECT]);
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup']);
  });

  const started = (flags: readonly string[]) =>
    bench.cluster.startProxy('node1', ['--cluster-cidr=10.200.0.0/16,fd20::/48', ...flags]);

  /** What /status says is missing, and the notes of the Events about that. */
  const missing = async () => {
    const script = "fetch('http://127.0.0.1:10249/status').then(async (reply) => console.log(await reply.text()))";
    const { stdout } = await bench.lab.run('node1', process.execPath, ['-e', script]);
    const { missing: shown } = JSON.parse(stdout) as { readonly missing: readonly { readonly what: string }[] };
    const { items } = (await bench.cluster.read(EVENTS)) as {
      readonly items: readonly { readonly reason: string; readonly note: string }[];
    };
    const told = items.filter(({ reason }) => reason === 'InputMissing').map(({ note }) => note);
    return { shown: shown.map(({ what }) => what), told };
  };

  it('ServiceCIDRs of an older cluster: said in the log and in /status, and no Event', async () => {
    await bench.cluster.inject({ fault: 'answer', status: 404, resource: 'servicecidrs' });
    const proxy = started(['--proxy-mode=nftables']);
    await untilAnswered(bench.lab, 'pod3', CLUSTER_IP, SOON_MS);
    await proxy.waitForLog(/this cluster lacks the resource/);
    await new Promise((resolve) => setTimeout(resolve, 6_000)); // by then it would be told
    expect(await missing()).toEqual({ shown: ['ServiceCIDRs'], told: [] });
    expect(proxy.log()).not.toMatch(/WARN.*something is missing/);
    expect(await proxy.stop()).toBe(0);
  });

  it('ServiceCIDRs that are forbidden: an Event too', async () => {
    await bench.cluster.inject({ fault: 'answer', status: 403, resource: 'servicecidrs' });
    const proxy = started(['--proxy-mode=nftables']);
    await untilAnswered(bench.lab, 'pod3', CLUSTER_IP, SOON_MS);
    await vi.waitFor(
      async () =>
        expect(await missing()).toEqual({
          shown: ['ServiceCIDRs'],
          told: [expect.stringMatching(/^ServiceCIDRs is missing: .*403/)],
        }),
      { timeout: SOON_MS, interval: 500 },
    );
    expect(await proxy.stop()).toBe(0);
  });

  it.each(MODES)('a Node without addresses, mode %s', async (_, withoutAddresses, flags) => {
    await bench.cluster.put([{ ...NODE_OBJECT, status: { addresses: [] } }]);
    const proxy = started(flags);
    await untilAnswered(bench.lab, 'pod3', CLUSTER_IP, SOON_MS);
    expect((await missing()).shown).toEqual(withoutAddresses);
    expect(await proxy.stop()).toBe(0);
  });

  it.each(MODES)('no Node object of this name, mode %s', async (_, __, flags) => {
    await bench.cluster.delete([NODE_OBJECT]);
    const proxy = started(flags);
    await untilAnswered(bench.lab, 'pod3', CLUSTER_IP, 40_000);
    expect((await missing()).shown).toContain('Node node1');
    expect(await proxy.stop()).toBe(0);
  });
});
