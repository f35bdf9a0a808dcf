import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createNetwork, type Lab } from '../../src/lab/network/lab.ts';
import type { Transport } from '../../src/lab/network/outcome.ts';
import type { HostName } from '../../src/lab/network/plan.ts';
import { formatSummary, summarize } from '../../src/lab/network/summary.ts';
import { describeWith, LAB_NEEDS, program } from './requires.ts';

const PORT = 8080;
const TRANSPORTS: readonly Transport[] = ['tcp', 'udp'];
const FAMILIES = ['ipv4', 'ipv6'] as const;
const BY_FAMILY = TRANSPORTS.flatMap((protocol) => FAMILIES.map((family) => ({ protocol, family })));

const serveOn = async (lab: Lab, ...hosts: readonly HostName[]): Promise<void> => {
  await Promise.all(
    hosts.map(async (name) => {
      const agent = await lab.agent(name);
      for (const protocol of TRANSPORTS) await agent.serve({ protocol, port: PORT, name });
    }),
  );
};

const probeFrom = async (
  lab: Lab,
  from: HostName,
  to: { readonly protocol?: Transport; readonly host: string; readonly port?: number; readonly tries?: number },
) => summarize(await (await lab.agent(from)).probe({ protocol: 'tcp', port: PORT, timeoutMs: 200, ...to }));

/** Waits for what another process does; the test's own time-out is the deadline. */
const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await sleep(20);
};

describeWith(LAB_NEEDS, 'a network of namespaces', () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createNetwork();
    await serveOn(lab, 'node1', 'pod1', 'pod2', 'remote1', 'remote2', 'outside');
  });
  afterAll(() => lab?.remove());

  describe.each(BY_FAMILY)('over $protocol, $family', ({ protocol, family }) => {
    test.each(['pod3', 'pod1', 'remote2', 'node1', 'node2', 'outside', 'apiserver'] as const)(
      '%s reaches pods on both nodes, and is seen under its own address',
      async (from) => {
        for (const to of ['pod2', 'remote1'] as const) {
          const seen = await probeFrom(lab, from, { protocol, host: lab.host(to)[family], tries: 3 });
          // a node reaches its own pods from its end of their network
          const gateway = { pod2: lab.host('node1'), remote1: lab.host('node2') }[to].name === from;
          if (gateway) expect(seen).toMatchObject({ answers: 3, servers: { [to]: 3 } });
          else expect(seen).toMatchObject({ servers: { [to]: 3 }, clients: [lab.host(from)[family]], failures: {} });
        }
      },
    );

    test('outside and a node reach each other, and a pod reaches outside', async () => {
      const answered = async (from: HostName, to: HostName) => {
        const seen = await probeFrom(lab, from, { protocol, host: lab.host(to)[family] });
        expect(seen).toMatchObject({ servers: { [to]: 1 }, clients: [lab.host(from)[family]] });
      };
      await answered('outside', 'node1');
      await answered('node1', 'outside');
      await answered('pod3', 'outside');
    });

    test('a closed port refuses, every time; an address that nobody has is silent', async () => {
      const { [family]: host } = lab.host('pod2');
      const refused = await probeFrom(lab, 'pod3', { protocol, host, port: 1, tries: 200 });
      expect(refused.failures).toEqual({ refused: 200 });
      const clusterIP = { ipv4: '10.96.0.7', ipv6: 'fd96::7' }[family];
      for (const from of ['pod3', 'node1', 'outside'] as const) {
        const silent = await probeFrom(lab, from, { protocol, host: clusterIP, tries: 2 });
        expect(silent.failures, from).toEqual({ timeout: 2 });
      }
    });

    test('a held line goes on until its server ends', async () => {
      const server = await (await lab.agent('remote1')).serve({ protocol, port: 0, name: 'short-lived' });
      const target = { protocol, host: lab.host('remote1')[family], port: server.port };
      const held = await (await lab.agent('pod3')).hold({ ...target, intervalMs: 1, timeoutMs: 500 });
      await until(async () => (await held.state()).roundTrips > 5);
      expect(await held.state()).toMatchObject({ alive: true, missed: 0, server: 'short-lived' });
      await server.stop();
      await until(async () => !(await held.state()).alive);
      expect((await held.stop()).failure?.kind).toBe({ tcp: 'error', udp: 'refused' }[protocol]);
      await expect(held.state()).rejects.toThrow('nothing runs');
    });

    test('a load counts answers by server, and failures by kind', async () => {
      const agent = await lab.agent('pod3');
      const good = await agent.load({ protocol, host: lab.host('pod1')[family], port: PORT, parallel: 4 });
      await until(async () => (await good.state()).answers > 50);
      const totals = await good.stop();
      expect(totals).toMatchObject({ running: false, failures: {}, servers: { pod1: totals.answers } });
      const bad = await agent.load({ protocol, host: lab.host('pod1')[family], port: 1, parallel: 2, seconds: 0.1 });
      await until(async () => !(await bad.state()).running);
      const failed = await bad.stop();
      expect(failed.failures).toEqual({ refused: failed.tries });
    });

    test('a probe leaves from the source port it is told', async () => {
      const target = { protocol, host: lab.host('remote1')[family], port: PORT, localPort: 40_000, tries: 3 };
      const outcomes = await (await lab.agent('pod3')).probe(target);
      expect(outcomes).toHaveLength(3);
      for (const outcome of outcomes) expect(outcome).toMatchObject({ kind: 'answer', client: { port: 40_000 } });
    });
  });

  test('a hold needs an answer to begin with', async () => {
    const target = { protocol: 'tcp', host: lab.host('pod1').ipv4, port: 1 } as const;
    await expect((await lab.agent('pod3')).hold(target)).rejects.toThrow('refused');
  });

  test('a call ends with its signal', async () => {
    const agent = await lab.agent('pod3');
    const target = { protocol: 'tcp', host: '10.96.0.7', port: PORT, timeoutMs: 5_000 } as const;
    await expect(agent.probe(target, AbortSignal.timeout(50))).rejects.toThrow('timeout');
  });

  test('a program runs on a host; its failure is an error, or a result when asked for', async () => {
    expect((await lab.run('pod1', 'cat', [], { input: 'hello' })).stdout).toBe('hello');
    await expect(lab.run('pod1', 'false')).rejects.toThrow();
    expect((await lab.run('pod1', 'false', [], { reject: false })).exitCode).toBe(1);
  });
});

const tool = (name: string, family: 'ipv4' | 'ipv6'): string => (family === 'ipv4' ? name : name.replace('ip', 'ip6'));

describe.each(['iptables-nft', 'iptables-legacy'])('rules written with %s', (name) => {
  const needs = [...LAB_NEEDS, program(name), program(tool(name, 'ipv6'))];
  describeWith(needs, 'show where packets go, and as whom they come', () => {
    let lab: Lab;
    beforeAll(async () => {
      lab = await createNetwork();
      await serveOn(lab, 'pod1', 'remote1');
    });
    afterAll(() => lab?.remove());

    const VIP = { ipv4: '10.96.0.10', ipv6: 'fd96::10' };
    const rule = (family: 'ipv4' | 'ipv6', line: string) =>
      lab.run('node1', tool(name, family), ['-w', ...line.split(' ')]);

    /** What a proxy would do for one Service: choose, mark what must come back this way, masquerade it. */
    const programService = async (family: 'ipv4' | 'ipv6', protocol: Transport): Promise<void> => {
      const to = (pod: 'pod1' | 'remote1') => {
        const ip = lab.host(pod)[family];
        return family === 'ipv4' ? `${ip}:${PORT}` : `[${ip}]:${PORT}`;
      };
      const match = `-p ${protocol} -d ${VIP[family]} --dport 80`;
      for (const chain of ['PREROUTING', 'OUTPUT']) {
        const every2nd = '-m statistic --mode nth --every 2 --packet 0';
        await rule(family, `-t nat -A ${chain} ${match} ${every2nd} -j DNAT --to-destination ${to('pod1')}`);
        await rule(family, `-t nat -A ${chain} ${match} -j DNAT --to-destination ${to('remote1')}`);
      }
      for (const from of [lab.host('outside')[family], lab.host('pod1')[family]]) {
        const dnatted = `-m conntrack --ctstate DNAT -p ${protocol}`;
        await rule(family, `-t nat -A POSTROUTING -s ${from} ${dnatted} -j MASQUERADE`);
      }
    };

    test.each(BY_FAMILY)('$protocol, $family', async ({ family, protocol }) => {
      await programService(family, protocol);
      const node = lab.host('node1')[family];
      const gateway = { ipv4: '10.200.0.1', ipv6: 'fd20:0:0:1::1' }[family];
      const probe = (from: HostName) => probeFrom(lab, from, { protocol, host: VIP[family], port: 80, tries: 10 });
      const both = { servers: { pod1: 5, remote1: 5 }, failures: {} };
      expect(await probe('pod3')).toMatchObject({ ...both, clients: [lab.host('pod3')[family]] });
      expect(await probe('node1')).toMatchObject({ ...both, clients: [node] });
      expect(await probe('outside')).toMatchObject({ ...both, clients: [gateway, node].sort() });
      // hairpin: to itself it comes back under the node's address
      expect(await probe('pod1')).toMatchObject({ ...both, clients: [gateway, node].sort() });
    });

    test.each(BY_FAMILY)('silence and refusals are told apart: $protocol, $family', async ({ family, protocol }) => {
      const icmp = { ipv4: 'icmp-port-unreachable', ipv6: 'icmp6-port-unreachable' }[family];
      const prohibited = { ipv4: 'icmp-host-prohibited', ipv6: 'icmp6-adm-prohibited' }[family];
      const match = (port: number) => `-p ${protocol} -d ${VIP[family]} --dport ${port}`;
      for (const chain of ['FORWARD', 'OUTPUT']) {
        await rule(family, `-A ${chain} ${match(81)} -j DROP`);
        await rule(family, `-A ${chain} ${match(82)} -j REJECT --reject-with ${icmp}`);
      }
      await rule(family, `-A FORWARD ${match(83)} -j REJECT --reject-with ${prohibited}`);
      const code = { ipv4: 'EHOSTUNREACH', ipv6: 'EACCES' }[family];
      const cases = (['pod3', 'outside', 'node1'] as const).flatMap((from) => [
        { from, port: 81, tries: 4, timeoutMs: 200, failures: { timeout: 4 } },
        { from, port: 82, tries: 32, failures: { refused: 32 } },
        ...(from === 'node1' ? [] : [{ from, port: 83, tries: 32, failures: { [`unreachable ${code}`]: 32 } }]),
      ]);
      await Promise.all(
        cases.map(async ({ from, failures, ...target }) => {
          const outcomes = await (await lab.agent(from)).probe({ protocol, host: VIP[family], ...target });
          expect(summarize(outcomes).failures, `${from} to port ${target.port}`).toEqual(failures);
        }),
      );
    });
  });
});

test('outcomes in one line', () => {
  const answer = (server: string) => ({ kind: 'answer', server, client: { address: '10.0.0.1', port: 1 } }) as const;
  const outcomes = [answer('b'), answer('a'), { kind: 'timeout' } as const, answer('b')];
  const broken = { kind: 'unreachable', code: 'ENETUNREACH' } as const;
  expect(formatSummary(summarize(outcomes))).toBe('a ×1, b ×2 (seen as 10.0.0.1); timeout ×1');
  expect(formatSummary(summarize([broken, broken]))).toBe('unreachable ENETUNREACH ×2');
  expect(formatSummary(summarize([]))).toBe('no tries');
});
