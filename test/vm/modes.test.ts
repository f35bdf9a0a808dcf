/**
 * What needs IPVS and nf_tables in one kernel: from one of these modes to the other under load; and SCTP in mode nftables.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { callSctp, SCTP_WAYS, serveSctp } from '../conformance/sctp.ts';
import { objectsOf, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from '../kernel/cluster.ts';
import { CLUSTER_IP, NODE_PORT, TRAFFIC_OBJECTS, Traffic, UDP } from '../kernel/traffic.ts';

const FLAGS = ['--cluster-cidr=10.200.0.0/16,fd20::/48', '-v=2', '--nodeport-addresses=0.0.0.0/0,::/0'];
/** All of it is emulated, and shares the processors with the tests beside it. */
const ANSWER_MS = 400_000;
const VARIANT: Variant = { family: 'IPv4', protocol: 'TCP', number: 200 };
const SERVICE = objectsOf('switched', { nodePort: true, endpoints: [{ on: 'pod1' }, { on: 'remote1' }] }, VARIANT);
const TARGET = { protocol: 'tcp' as const, host: '10.96.1.200', port: 80 };
type Mode = 'ipvs' | 'nftables';

let bench: Bench;
let proxy: NodeProxy | undefined;
beforeAll(async () => {
  bench = await startBench();
  serveSctp(bench);
  await bench.cluster.put(SERVICE);
});
afterAll(async () => {
  await proxy?.stop('SIGKILL');
  await bench?.remove();
});

const start = async (mode: Mode): Promise<NodeProxy> => {
  const started = bench.cluster.startProxy('node1', [...FLAGS, `--proxy-mode=${mode}`]);
  proxy = started;
  for (const family of ['IPv4', 'IPv6']) {
    await started.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true`), ANSWER_MS);
  }
  return started;
};

it('mode nftables serves SCTP', async () => {
  const running = await start('nftables');
  for (const way of SCTP_WAYS) {
    const before = running.log().length;
    const written = new RegExp(`"ipFamily":"${way.family}","fullSync":false,"servicePorts":1,`);
    const untilServed = async (): Promise<void> => {
      for (const deadline = Date.now() + ANSWER_MS; !written.test(running.log().slice(before)); await pause(50)) {
        expect(Date.now(), 'the Service is written').toBeLessThan(deadline);
      }
    };
    const said = await callSctp(bench, way, { tries: 1, untilServed });
    for (const [call, answers] of said) expect(['pod1', 'remote1'], call).toContain(answers[0]);
  }
});

it('from nftables to ipvs', async () => {
  await untilAnswered(bench.lab, 'pod3', TARGET, ANSWER_MS);
  const load = await (await bench.lab.agent('pod3')).load({ ...TARGET, parallel: 2, pauseMs: 100, timeoutMs: 30_000 });
  await proxy?.stop();
  const second = await start('ipvs');
  await second.waitForLog(/"ipFamily":"IPv6","mode":"nftables","removed":\d+,"left":0.*/, ANSWER_MS);
  const { tries, answers, failures } = await load.stop();
  expect(failures).toEqual({});
  expect(answers).toBe(tries);
  expect(answers).toBeGreaterThan(20);
});

it('from ipvs to nftables: connections go on until they end, and nothing is left', async () => {
  await bench.cluster.delete(SERVICE);
  await bench.cluster.put(TRAFFIC_OBJECTS);
  for (const { from, ...target } of [CLUSTER_IP, NODE_PORT, UDP])
    await untilAnswered(bench.lab, from, target, ANSWER_MS);
  const traffic = await Traffic.start(bench, { pauseMs: 500, timeoutMs: 30_000, intervalMs: 500 });
  try {
    await pause(1_000);
    await proxy?.stop();
    const second = await start('nftables');
    await second.waitForLog(/as its connections end {"mode":"ipvs","connections":[1-9]/, ANSWER_MS);
    await pause(2_000);
    await traffic.endHeld();
    await second.waitForLog(/nothing is left of another mode {"mode":"ipvs"/, ANSWER_MS);
    await traffic.expectAnswered();
    const all = 'ipvsadm -Sn; ipset list -n; ip -o link show type dummy; iptables-save; ip6tables-save';
    const { stdout } = await bench.lab.run('node1', 'sh', ['-c', all]);
    expect(stdout.replace(/^.*KUBE-FIREWALL.*$/gm, '')).not.toMatch(/KUBE|kube-ipvs0|^-A -/m);
  } finally {
    await traffic.stop();
  }
});
