/**
 * From mode ipvs to another and back, and from kube-proxy's mode ipvs, under load: no connection fails, those that are held
 * go on, and in the end nothing is left.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { type Bench, startBench, untilAnswered } from '../kernel/cluster.ts';
import { CLUSTER_IP, NODE_PORT, TRAFFIC_OBJECTS, Traffic, UDP } from '../kernel/traffic.ts';

/** Without them nothing tells pods from others, and only the addresses of Services what comes from the node itself. */
const PODS = '--cluster-cidr=10.200.0.0/16,fd20::/48';
const ANSWER_MS = 60_000;
const PACE = { pauseMs: 200, timeoutMs: 10_000, intervalMs: 200 };
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const RECORDED = fileURLToPath(new URL('../fixtures/kube-proxy-1.36.2/ipvs/', import.meta.url));
type Mode = 'iptables' | 'ipvs';

let bench: Bench;
let proxy: NodeProxy | undefined;
let traffic: Traffic | undefined;
beforeAll(async () => {
  bench = await startBench();
  await bench.cluster.put(TRAFFIC_OBJECTS);
});
afterAll(async () => {
  await proxy?.stop('SIGKILL');
  await bench?.remove();
});
afterEach(async () => {
  await traffic?.stop();
  traffic = undefined;
});

const start = async (mode: Mode, ...flags: readonly string[]): Promise<NodeProxy> => {
  const started = bench.cluster.startProxy('node1', ['-v=2', `--proxy-mode=${mode}`, ...flags]);
  proxy = started;
  for (const family of ['IPv6', 'IPv4']) {
    await started.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`), ANSWER_MS);
  }
  return started;
};

const untilServed = async (): Promise<void> => {
  for (const { from, ...target } of [CLUSTER_IP, NODE_PORT, UDP]) {
    await untilAnswered(bench.lab, from, target, ANSWER_MS);
  }
};

const on = async (tool: string, ...args: readonly string[]): Promise<string> =>
  (await bench.lab.run('node1', tool, args, { timeoutMs: 60_000 })).stdout;

const servers = (): Promise<string> => on('ipvsadm', '-Sn');
const rules = async (): Promise<string> =>
  (await Promise.all(['iptables-save', 'ip6tables-save'].map((tool) => on(tool))))
    .join('\n')
    // shared with the kubelet
    .replace(/^.*KUBE-FIREWALL.*$/gm, '');

/** All that only mode ipvs has. */
const leftOfIpvs = async (): Promise<readonly string[]> =>
  [
    ...(await servers()).split('\n'),
    ...(await on('ipset', 'list', '-n')).split('\n'),
    ...((await on('ip', '-o', 'link')).match(/kube-ipvs0/) ?? []),
    ...((await rules()).match(/^.*(?:IPVS|LOAD-BALANCER|NODE-PORT |match-set).*$/gm) ?? []),
  ].filter((line) => line !== '');

/** All is ours by now. */
const leave = async (): Promise<void> => {
  await proxy?.stop();
  await on(process.execPath, MAIN, 'cleanup');
  expect(await leftOfIpvs()).toEqual([]);
  expect(await rules()).not.toMatch(/KUBE-/);
};

const OVER = /nothing is left of another mode {"mode":"ipvs"/;

it('from ipvs to iptables: connections go on until they end, over a restart too', async () => {
  const first = await start('ipvs');
  await untilServed();
  traffic = await Traffic.start(bench, PACE);
  await sleep(1_000);
  await first.stop();
  const second = await start('iptables');
  await second.waitForLog(/as its connections end {"mode":"ipvs","connections":[1-9]/, ANSWER_MS);
  await second.stop();
  const third = await start('iptables');
  await third.waitForLog(/as its connections end {"mode":"ipvs","connections":[1-9]/, ANSWER_MS);
  // what nobody is connected to goes, what stays takes no one more, and still guards the node
  let left = await servers();
  for (const until = Date.now() + ANSWER_MS; left.includes('-t 198.19.1.200:80 ') && Date.now() < until; ) {
    await sleep(500);
    left = await servers();
  }
  expect(left).not.toMatch(/-u |-w 1/);
  expect(left).toContain('-A -t 10.96.1.200:80 ');
  expect(left).toContain('-A -t 10.250.0.1:30200 ');
  expect(left).not.toContain('-t 198.19.1.200:80 ');
  expect(await rules()).toContain('-A INPUT -j KUBE-IPVS-FILTER');
  await traffic.endHeld();
  await third.waitForLog(OVER, ANSWER_MS);
  expect(await leftOfIpvs()).toEqual([]);
  await traffic.expectAnswered();
  expect(third.log()).not.toMatch(/WARN|ERROR|drift/);
});

it('from iptables to ipvs', async () => {
  traffic = await Traffic.start(bench, PACE);
  await sleep(1_000);
  await proxy?.stop();
  await start('ipvs', PODS);
  await sleep(1_000);
  expect(await rules()).not.toMatch(/:KUBE-(?:SVC|SEP|EXT-|NODEPORTS|EXTERNAL-SERVICES)/);
  await traffic.endHeld();
  await traffic.expectAnswered();
  await leave();
});

/** As kube-proxy 1.36.2 left it. */
const install = async (): Promise<void> => {
  const script = `set -e
cd ${RECORDED}
sysctl -q -w net.ipv4.vs.conntrack=1 net.ipv4.vs.expire_nodest_conn=1 net.ipv4.vs.expire_quiescent_template=1
sed 's/ bucketsize [0-9]* initval 0x[0-9a-f]*//' ipset-save.txt | ipset restore
iptables-restore --noflush <iptables-save.txt
ip6tables-restore --noflush <ip6tables-save.txt
ip link add kube-ipvs0 type dummy
for address in $(grep -o '[^ ]*/[0-9]*' addresses.txt); do ip address add $address dev kube-ipvs0; done
ipvsadm -R <ipvsadm-Sn.txt`;
  await on('sh', '-c', script);
};

const everything = async (): Promise<readonly string[]> =>
  [
    await servers(),
    await rules(),
    (await on('ipset', 'save')).split('\n').sort().join('\n'),
    await on('ip', '-o', 'address', 'show', 'dev', 'kube-ipvs0'),
  ].map((text) => text.replace(/^#.*$/gm, '').replace(/\[\d+:\d+\]/g, ''));

/** Of the recorded objects: one endpoint, which is pod1; and a NodePort. */
const TAKEN_OVER = [
  { from: 'pod3', protocol: 'tcp', host: '10.96.1.1', port: 80 },
  { from: 'outside', protocol: 'tcp', host: '10.250.0.1', port: 30_004 },
] as const;

describe('what kube-proxy left in mode ipvs', () => {
  beforeAll(async () => {
    const { items } = JSON.parse(readFileSync(`${RECORDED}/../objects.json`, 'utf8')) as { items: { kind: string }[] };
    await bench.cluster.put(items.filter(({ kind }) => /^(?:Service|EndpointSlice)$/.test(kind)) as never);
  });

  it('stays with cleanup, and goes with cleanup --kube-proxy', async () => {
    await install();
    const before = await everything();
    expect(await on(process.execPath, MAIN, 'cleanup')).toBe('');
    expect(await everything()).toEqual(before);
    expect(await on(process.execPath, MAIN, 'cleanup', '--kube-proxy')).toContain('IPv4 service -t 10.96.1.1:80\n');
    expect(await leftOfIpvs()).toEqual([]);
    expect(await rules()).not.toMatch(/KUBE-/);
  });

  it.each(['ipvs', 'iptables'] as const)('goes on with our mode %s', async (mode) => {
    await install();
    traffic = await Traffic.start(bench, PACE, { loaded: TAKEN_OVER, held: TAKEN_OVER });
    const started = await start(mode, PODS);
    await sleep(1_000);
    await traffic.endHeld();
    if (mode === 'iptables') await started.waitForLog(OVER, ANSWER_MS);
    await traffic.expectAnswered();
    expect(await rules()).not.toMatch(/KUBE-IPVS-OUT-FILTER/);
    await leave();
  });
});
