/**
 * The program on a real node, and what the cluster is told of it: Events for its start, for drift and for a change of mode, the
 * start-up taint that goes once rules serve, and an API server that wants or answers none of that.
 */
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { NODE_OBJECT, objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from './cluster.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const VARIANT: Variant = { family: 'IPv4', protocol: 'TCP', number: 40 };
const SERVICE = objectsOf('told', { endpoints: [{ on: 'pod1' }] }, VARIANT);
const OTHER = objectsOf('later', { endpoints: [{ on: 'pod1' }] }, { ...VARIANT, number: 41 });
const at = (number: number) => ({ protocol: 'tcp' as const, host: `10.96.1.${number}`, port: 80 });
const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '-v=2'];
const IPTABLES = [...FLAGS, '--proxy-mode=iptables', '--iptables-tool=nft', '--iptables-sync-period=1s'];
const NFTABLES = [...FLAGS, '--proxy-mode=nftables', '--iptables-sync-period=1h'];
const KEY = 'pointsman.dev/not-ready';
const TAINT = { key: KEY, effect: 'NoSchedule' };
const TAINTED = { ...NODE_OBJECT, spec: { ...(NODE_OBJECT.spec as object), taints: [TAINT] } };
const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const NODE_PATH = '/api/v1/nodes/node1';

interface Told {
  readonly metadata: { readonly name: string };
  readonly type: string;
  readonly reason: string;
  readonly note: string;
  readonly regarding: object;
  readonly reportingInstance: string;
}

describeWith([...LAB_NEEDS, program('iptables-nft')], 'what the cluster is told', () => {
  let bench: Bench;
  let proxy: NodeProxy | undefined;
  beforeAll(async () => {
    bench = await startBench();
    await bench.cluster.put(SERVICE);
  });
  afterAll(async () => {
    await bench?.remove();
  });
  afterEach(async () => {
    await bench.cluster.clearFaults();
    await proxy?.stop('SIGKILL');
    proxy = undefined;
    await bench.cluster.delete(OTHER);
    const main = new URL('../../dist/main.js', import.meta.url).pathname;
    await bench.lab.run('node1', process.execPath, [main, 'cleanup']);
  });

  const start = (...flags: readonly string[]): NodeProxy => {
    proxy = bench.cluster.startProxy('node1', flags);
    return proxy;
  };

  const told = async (): Promise<readonly Told[]> =>
    ((await bench.cluster.read(EVENTS)) as { readonly items: readonly Told[] }).items;

  const soon = (event: object): Promise<void> =>
    vi.waitFor(async () => expect(await told()).toContainEqual(expect.objectContaining(event)), {
      timeout: 10_000,
      interval: 50,
    });

  const taints = async (): Promise<unknown> => {
    const node = (await bench.cluster.read(NODE_PATH)) as { readonly spec?: { readonly taints?: unknown } };
    return node.spec?.taints;
  };

  const scrape = async (): Promise<string> => {
    const script = "fetch('http://127.0.0.1:10249/metrics').then(async (reply) => console.log(await reply.text()))";
    return (await bench.lab.run('node1', process.execPath, ['-e', script])).stdout;
  };

  const answers = async (number: number): Promise<boolean> => {
    const [outcome] = await (await bench.lab.agent('pod3')).probe({ ...at(number), tries: 1, timeoutMs: 300 });
    return outcome?.kind === 'answer';
  };

  it('start, drift and a change of mode, on the Node', async () => {
    start(...IPTABLES);
    const regarding = { apiVersion: 'v1', kind: 'Node', name: 'node1', uid: 'node1' };
    const note = expect.stringMatching(/^pointsman \d.* starts in mode iptables$/);
    await soon({ type: 'Normal', reason: 'Starting', note, regarding, reportingInstance: 'node1' });
    await untilAnswered(bench.lab, 'pod3', at(40));
    const { stdout } = await bench.lab.run('node1', 'iptables-nft-save', ['-t', 'nat']);
    const [chain = 'none'] = /KUBE-SVC-[A-Z0-9]+/.exec(stdout) ?? [];
    await bench.lab.run('node1', 'iptables-nft', ['-t', 'nat', '-F', chain]);
    const drift = expect.stringMatching(new RegExp(`IPv4.* 0 missing, 1 changed, 0 foreign: .*${chain}`));
    await soon({ type: 'Warning', reason: 'DriftRepaired', note: drift, regarding });
    const metrics = await scrape();
    const server = 'host="[0-9.]+:6443"';
    expect(metrics).toMatch(new RegExp(`^rest_client_requests_total{code="201",method="POST",${server}} [1-9]`, 'm'));
    expect(metrics).toMatch(new RegExp(`^rest_client_requests_total{code="200",method="GET",${server}} [3-9]`, 'm'));
    expect(metrics).toMatch(
      new RegExp(`^rest_client_request_duration_seconds_count{verb="POST",${server}} [1-9]`, 'm'),
    );
    expect(metrics).toMatch(/^pointsman_events_total{result="written"} [1-9]/m);
    expect(await proxy?.stop()).toBe(0);

    start(...NFTABLES);
    const left = expect.stringMatching(/^mode nftables serves, \d+ objects that mode iptables had left .*IPv4/);
    await soon({ type: 'Normal', reason: 'ProxyModeChanged', note: left, regarding });
    const names = (await told()).map(({ metadata }) => metadata.name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('what ended the program is told before it ends', async () => {
    await start(...NFTABLES).waitForLog(/"fullSync":true/);
    const second = bench.cluster.startProxy('node1', [...NFTABLES, '--bind-address-hard-fail', '--metrics-port=0']);
    expect(await second.ended).toBe(1);
    const note = expect.stringMatching(/^the health server cannot listen on 0\.0\.0\.0:10256: .*EADDRINUSE/);
    await soon({ type: 'Warning', reason: 'FailedToStartProxierHealthcheck', note });
  });

  it('the start-up taint goes when rules serve, and not before', async () => {
    await bench.cluster.put([TAINTED]);
    await bench.cluster.inject({ fault: 'delay', ms: 3_000, resource: 'endpointslices' });
    const startedAt = Date.now();
    const started = start(...NFTABLES, `--startup-taint=${KEY}`);
    await started.waitForLog(/pointsman starts/);
    while (Date.now() - startedAt < 2_500) {
      expect(await taints()).toEqual([TAINT]);
      expect(await answers(40)).toBe(false);
    }
    await bench.cluster.clearFaults();
    while ((await taints()) !== undefined) {
      expect(Date.now() - startedAt).toBeLessThan(20_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await answers(40)).toBe(true); // at once: no pod comes to a node without Services
    await started.waitForLog(/the start-up taint is removed/);
    await soon({ reason: 'StartupTaintRemoved' });
    await bench.cluster.put([NODE_OBJECT]);
  });

  it('a missing right does no harm, and is said once', async () => {
    await bench.cluster.put([TAINTED]);
    await bench.cluster.inject({ fault: 'answer', status: 403, resource: 'events' });
    await bench.cluster.inject({ fault: 'answer', status: 403, resource: 'nodes', verb: 'get' });
    const before = await asked();
    const started = start(...IPTABLES, `--startup-taint=${KEY}`);
    await started.waitForLog(/lets us write no Events/);
    await started.waitForLog(/the start-up taint cannot be removed yet/);
    await untilAnswered(bench.lab, 'pod3', at(40));
    await bench.lab.run('node1', 'iptables-nft', ['-t', 'nat', '-F', 'KUBE-SERVICES']);
    await started.waitForLog(/drift found and repaired/);
    await bench.cluster.put(OTHER);
    await untilAnswered(bench.lab, 'pod3', at(41));
    expect((await asked()) - before).toBe(1);
    expect(started.log().match(/lets us write no Events/g)).toHaveLength(1);
    expect(await started.stop()).toBe(0);
    await bench.cluster.put([NODE_OBJECT]);
  });

  it('an API server that hangs does no harm: rules are made, changes arrive, the end comes in time', async () => {
    await bench.cluster.put([TAINTED]);
    await bench.cluster.inject({ fault: 'hang', resource: 'events' });
    await bench.cluster.inject({ fault: 'hang', resource: 'nodes', verb: 'get' });
    const started = start(...NFTABLES, `--startup-taint=${KEY}`);
    await untilAnswered(bench.lab, 'pod3', at(40));
    await bench.cluster.put(OTHER);
    await untilAnswered(bench.lab, 'pod3', at(41), 1_000);
    const startedAt = Date.now();
    expect(await started.stop()).toBe(0);
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    expect(await answers(41)).toBe(true);
    await bench.cluster.put([NODE_OBJECT]);
  });

  /** How often somebody asked for Events to be written. */
  const asked = async (): Promise<number> =>
    (await bench.cluster.requests()).filter(({ resource, verb }) => resource === 'events' && verb === 'create').length;
});
