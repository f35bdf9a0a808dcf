/** Mode ipvs and the packet marks of others, and what becomes of connections whose address is gone for a moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { ADDRESSES, destinationOf, objectsOf, type ServiceSpec, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from '../kernel/cluster.ts';

const FLAGS = ['--proxy-mode=ipvs', '--cluster-cidr=10.200.0.0/16,fd20::/48', '--ipvs-sync-period=3s'];
const ANSWER_MS = 60_000;
const LOCAL = { externalTrafficPolicy: 'Local' };
const WITH_BOTH: ServiceSpec = { nodePort: true, spec: LOCAL, endpoints: [{ on: 'pod1' }, { on: 'remote1' }] };
const FIRST = 4;
const LAST = 12;

const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const nodePort = (number: number) => ({ protocol: 'tcp' as const, ...destinationOf('node-port', v4(number)) });

let bench: Bench;
let proxy: NodeProxy;
beforeAll(async () => {
  bench = await startBench();
  await on('ip', 'link', 'add', 'up1', 'type', 'veth', 'peer', 'name', 'far1');
  await on('ip', 'address', 'add', '10.77.0.1/24', 'dev', 'up1');
  for (const link of ['up1', 'far1']) await on('ip', 'link', 'set', link, 'up');
  const numbers = Array.from({ length: LAST - FIRST + 1 }, (_, i) => FIRST + i);
  await bench.cluster.put(numbers.flatMap((number) => objectsOf(`local-${number}`, WITH_BOTH, v4(number))));
  proxy = bench.cluster.startProxy('node1', FLAGS);
  for (const number of numbers) await untilAnswered(bench.lab, 'outside', nodePort(number), ANSWER_MS);
});
afterAll(async () => {
  await proxy?.stop();
  await bench?.remove();
});

const on = async (tool: string, ...args: readonly string[]): Promise<string> =>
  (await bench.lab.run('node1', tool, args, { timeoutMs: ANSWER_MS })).stdout;

const answering = async (from: 'pod3' | 'node1' | 'outside', number: number): Promise<readonly string[]> => {
  const agent = await bench.lab.agent(from);
  const outcomes = await agent.probe({ ...nodePort(number), tries: 6, parallel: 1, timeoutMs: 5_000 });
  return [...new Set(outcomes.map((outcome) => (outcome.kind === 'answer' ? outcome.server : outcome.kind)))].sort();
};

/** Packets that a rule has seen; the rule by its comment. */
const seenBy = async (comment: string): Promise<number> => {
  const listed = await on('iptables-save', '-c', '-t', 'mangle');
  return Number(new RegExp(`\\[(\\d+):\\d+\\] -A .*${comment}`).exec(listed)?.[1]);
};

describe('marks', () => {
  it('are inside the mask, one a service port, and no virtual server is found by any other', async () => {
    const marks = [...(await on('ipvsadm', '-Sn')).matchAll(/^-A -f (\d+) -s/gm)].map(([, mark]) => Number(mark));
    expect(marks).toHaveLength(2 * (LAST - FIRST + 1));
    for (const mark of marks) expect(mark & ~(0x1f7f | 0x4000)).toBe(0);
    expect((await on('ipset', 'save', 'KUBE-EXTERNAL-POLICY-MARK')).match(/skbmark 0x\w+\/0x1f7f/g)).not.toBeNull();
    expect(await on('ipset', 'save', 'KUBE-EXTERNAL-POLICY-OWNER')).toMatch(/10\.96\.1\.4,tcp:80 .*skbmark 0x10/);
  });

  it('are none that a kubelet up to 1.26 drops', async () => {
    const drop = ['-m', 'mark', '--mark', '0x8000/0x8000', '-j', 'DROP'];
    for (const chain of ['INPUT', 'OUTPUT']) await on('iptables', '-I', chain, ...drop);
    for (let number = FIRST; number <= LAST; number += 1) {
      for (const from of ['pod3', 'node1'] as const) {
        expect(await answering(from, number), `${from} to ${number}`).toEqual(['pod1', 'remote1']);
      }
    }
    for (const chain of ['INPUT', 'OUTPUT']) await on('iptables', '-D', chain, ...drop);
  });

  it('of others stay on the packet, which is served as one from outside', async () => {
    const mine = ['-p', 'tcp', '--dport', String(nodePort(5).port), '-j', 'MARK', '--or-mark', '0x40080'];
    const theirs = (comment: string) => [
      ...['-p', 'tcp', '-m', 'mark', '--mark', '0x40080/0x40080'],
      ...['-m', 'comment', '--comment', comment],
    ];
    await on('iptables', '-t', 'mangle', '-I', 'PREROUTING', ...mine);
    await on('iptables', '-t', 'mangle', '-I', 'POSTROUTING', ...theirs('kept'));
    expect(await answering('pod3', 5)).toEqual(['pod1']);
    expect(await seenBy('kept')).toBeGreaterThan(0);
    expect(await answering('pod3', 6)).toEqual(['pod1', 'remote1']);
    await on('iptables', '-t', 'mangle', '-D', 'PREROUTING', ...mine);
    await on('iptables', '-t', 'mangle', '-D', 'POSTROUTING', ...theirs('kept'));
  });

  it('that others set, and that are low numbers, lead nowhere', async () => {
    const theirs = ['-p', 'tcp', '--dport', '80', '-j', 'MARK', '--set-mark', '0x1'];
    await on('iptables', '-t', 'mangle', '-A', 'PREROUTING', ...theirs);
    const agent = await bench.lab.agent('pod3');
    const [outcome] = await agent.probe({ protocol: 'tcp', host: '10.96.1.4', port: 80, timeoutMs: 5_000 });
    expect(outcome?.kind).toBe('answer');
    const [own] = await agent.probe({ protocol: 'tcp', host: ADDRESSES.node1.IPv4, port: 80, timeoutMs: 5_000 });
    expect(own?.kind).toBe('refused');
    await on('iptables', '-t', 'mangle', '-D', 'PREROUTING', ...theirs);
  });
});

describe('a second address of the node, to which others have no way back', () => {
  const REMOTE: ServiceSpec = { endpoints: [{ on: 'remote1' }] };
  const external = objectsOf(
    'own-external',
    { ...REMOTE, port: 81, spec: { ...LOCAL, externalIPs: ['10.77.0.1'] } },
    v4(21),
  );
  const balanced = objectsOf('own-balanced', { ...REMOTE, port: 82, vip: true, spec: LOCAL }, v4(22)).map((object) =>
    object.kind === 'Service' ? { ...object, status: { loadBalancer: { ingress: [{ ip: '10.77.0.1' }] } } } : object,
  );

  it('leads the node itself to endpoints elsewhere under policy Local, as external IP and as a balancer’s', async () => {
    await bench.cluster.put([...external, ...balanced]);
    for (const port of [81, 82]) {
      await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', host: '10.77.0.1', port }, ANSWER_MS);
      const agent = await bench.lab.agent('node1');
      const [outcome] = await agent.probe({ protocol: 'tcp', host: '10.77.0.1', port, timeoutMs: 5_000 });
      expect(outcome, `port ${port}`).toMatchObject({
        kind: 'answer',
        server: 'remote1',
        client: { address: ADDRESSES.node1.IPv4 },
      });
    }
    await bench.cluster.delete([...external, ...balanced]);
  });
});

describe('a connection through an address of the node', () => {
  const at = { protocol: 'tcp' as const, host: '10.77.0.1', port: nodePort(4).port };
  const servers = async (): Promise<readonly string[]> =>
    (await on('ipvsadm', '-Sn')).split('\n').filter((line) => line.includes(`${at.host}:${at.port}`));

  it.each([
    ['whose link loses its carrier', ['link', 'set', 'far1', 'down'], ['link', 'set', 'far1', 'up'], 12_000],
    [
      'that is lost and comes back within seconds',
      ['address', 'flush', 'dev', 'up1'],
      ['address', 'add', '10.77.0.1/24', 'dev', 'up1'],
      4_000,
    ],
  ])('%s goes on', async (_, goes, comes, goneMs) => {
    await untilAnswered(bench.lab, 'pod3', at, ANSWER_MS);
    const before = await servers();
    expect(before.length).toBeGreaterThan(1);
    // TCP asks again after twice as long each time: what is lost in a gap of ten seconds may come twenty later
    const held = await (await bench.lab.agent('pod3')).hold({ ...at, timeoutMs: 60_000 });
    await on('ip', ...goes);
    // something else changes meanwhile
    await bench.cluster.put(objectsOf('meanwhile', { endpoints: [{ on: 'pod2' }] }, v4(20)));
    await untilAnswered(bench.lab, 'pod3', { protocol: 'tcp', host: '10.96.1.20', port: 80 }, ANSWER_MS);
    await sleep(goneMs);
    expect(await servers()).toEqual(before);
    await on('ip', ...comes);
    await untilAnswered(bench.lab, 'pod3', at, ANSWER_MS);
    const { roundTrips } = await held.state();
    await expect.poll(async () => (await held.state()).roundTrips, { timeout: 60_000 }).toBeGreaterThan(roundTrips);
    expect(await held.stop()).toMatchObject({ alive: true });
    await bench.cluster.delete(objectsOf('meanwhile', { endpoints: [{ on: 'pod2' }] }, v4(20)));
  });
});
