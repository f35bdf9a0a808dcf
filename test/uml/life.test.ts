/** Mode ipvs over time: restarts, endpoints that leave and come back, what others do, what belongs to others. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NodeProxy } from '../../src/lab/cluster.ts';
import { callSctp, SCTP_WAYS, serveSctp } from '../conformance/sctp.ts';
import { objectsOf, type ServiceSpec, type Variant } from '../conformance/world.ts';
import { type Bench, startBench, untilAnswered } from '../kernel/cluster.ts';

const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const FLAGS = ['--proxy-mode=ipvs', '--cluster-cidr=10.200.0.0/16,fd20::/48', '--ipvs-sync-period=3s'];
const BOTH: ServiceSpec = { endpoints: [{ on: 'pod1' }, { on: 'remote1' }] };
const ONLY_REMOTE: ServiceSpec = { endpoints: [{ on: 'remote1' }] };
const ANSWER_MS = 60_000;

const v4 = (number: number): Variant => ({ family: 'IPv4', protocol: 'TCP', number });
const target = (number: number) => ({ protocol: 'tcp' as const, host: `10.96.1.${number}`, port: 80 });

let bench: Bench;
let proxy: NodeProxy | undefined;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench?.remove());
afterEach(async () => {
  await proxy?.stop('SIGKILL');
  proxy = undefined;
});

const start = async (...more: readonly string[]): Promise<NodeProxy> => {
  const started = bench.cluster.startProxy('node1', [...FLAGS, ...more]);
  proxy = started;
  for (const family of ['IPv6', 'IPv4']) {
    await started.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`), ANSWER_MS);
  }
  return started;
};

const on = async (tool: string, ...args: readonly string[]): Promise<string> =>
  (await bench.lab.run('node1', tool, args, { timeoutMs: 60_000 })).stdout;

const untilListed = async (read: () => Promise<string>, pattern: RegExp): Promise<void> => {
  for (const deadline = Date.now() + ANSWER_MS; ; await sleep(100)) {
    const text = await read();
    if (pattern.test(text)) return;
    if (Date.now() > deadline) throw new Error(`${pattern} is not in\n${text}`);
  }
};

const servers = (): Promise<string> => on('ipvsadm', '-Sn');
const sorted = (text: string): readonly string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .sort();

/** Who answers new connections. */
const answering = async (number: number): Promise<readonly string[]> => {
  const agent = await bench.lab.agent('pod3');
  const outcomes = await agent.probe({ ...target(number), tries: 8, parallel: 1, timeoutMs: 5_000 });
  return [...new Set(outcomes.map((outcome) => (outcome.kind === 'answer' ? outcome.server : outcome.kind)))].sort();
};

describe('what is there', () => {
  it('is what a dump says, in each tool’s own words', async () => {
    const all = [
      ...objectsOf('plain', { ...BOTH, nodePort: true }, v4(1)),
      ...objectsOf('sticky', { ...BOTH, vip: true, spec: { sessionAffinity: 'ClientIP' } }, v4(2)),
      ...objectsOf('local', { ...BOTH, nodePort: true, spec: { externalTrafficPolicy: 'Local' } }, v4(3)),
    ];
    await bench.cluster.put(all);
    await start('--nodeport-addresses=10.250.0.1/32,fd50::1/128');
    const dumping = (tool: string): readonly string[] => [
      process.execPath,
      MAIN,
      'dump',
      '--proxy-mode=ipvs',
      '--cluster-cidr=10.200.0.0/16,fd20::/48',
      '--nodeport-addresses=10.250.0.1/32,fd50::1/128',
      '--node=node1',
      `--kubeconfig=${bench.cluster.kubeconfig}`,
      `--tool=${tool}`,
    ];
    const dump = async (tool: string): Promise<readonly string[]> => sorted(await on('env', ...dumping(tool)));
    expect(sorted(await servers())).toEqual(await dump('ipvsadm'));
    const sets = (await on('ipset', 'save'))
      .replace(/ (bucketsize|initval) \S+/g, '')
      .replaceAll('skbmark', ' skbmark');
    const own = sorted(sets).filter((line) => !line.includes('KUBE-6-'));
    expect(own.map((line) => line.replace(/ +/g, ' '))).toEqual((await dump('ipset')).map((line) => line));
    const rules = sorted(await on('iptables-save')).filter((line) => /^-A .*KUBE/.test(line));
    expect(rules).toEqual((await dump('iptables')).filter((line) => line.startsWith('-A')));
    const addresses = await on('ip', '-4', '-o', 'address', 'show', 'dev', 'kube-ipvs0');
    const expected = (await dump('ip')).flatMap((line) => /address add (\S+)/.exec(line)?.[1] ?? []);
    expect(sorted(addresses.replace(/^.*inet (\S+) .*$/gm, '$1'))).toEqual(expected.sort());
    // and each tool takes its part
    for (const [tool, taker] of [
      ['iptables', 'iptables-restore --test'],
      ['ipset', 'ipset restore -exist'],
      ['sysctl', 'sysctl -q -p -'],
    ] as const) {
      await on('sh', '-c', `${dumping(tool).join(' ')} >/run/part && ${taker} </run/part`);
    }
    await bench.cluster.delete(all);
  });
});

describe('a restart', () => {
  it('fails no connection and writes nothing', async () => {
    await bench.cluster.put(objectsOf('restart', { ...BOTH, nodePort: true }, v4(4)));
    const first = await start();
    await untilAnswered(bench.lab, 'pod3', target(4), ANSWER_MS);
    const agent = await bench.lab.agent('pod3');
    const held = await agent.hold({ ...target(4), timeoutMs: 10_000 });
    const load = await agent.load({ ...target(4), parallel: 2, pauseMs: 20, timeoutMs: 10_000 });
    await first.stop('SIGKILL');
    const again = await start();
    await again.waitForLog(/"ipFamily":"IPv4","fullSync":true,.*"added":0,"replaced":0,"removed":0/, ANSWER_MS);
    await again.waitForLog(/"ipFamily":"IPv6","fullSync":true,.*"added":0,"replaced":0,"removed":0/, ANSWER_MS);
    const { tries, answers, failures } = await load.stop();
    expect(failures).toEqual({});
    expect(answers).toBe(tries);
    expect(answers).toBeGreaterThan(20);
    expect(await held.stop()).toMatchObject({ alive: true });
  });
});

describe('an endpoint that leaves', () => {
  it('keeps its connections, also over a restart, gets no new ones, and is used at once when it comes back', async () => {
    await bench.cluster.put(objectsOf('leaving', { endpoints: [{ on: 'pod1' }] }, v4(5)));
    const first = await start();
    await untilAnswered(bench.lab, 'pod3', target(5), ANSWER_MS);
    const held = await (await bench.lab.agent('pod3')).hold({ ...target(5), timeoutMs: 10_000 });
    await sleep(1_000);
    await bench.cluster.put(objectsOf('leaving', ONLY_REMOTE, v4(5)));
    await untilListed(servers, /-t 10\.96\.1\.5:80 -r 10\.200\.0\.11:8080 -m -w 0/);
    expect(await answering(5)).toEqual(['remote1']);

    await first.stop('SIGKILL');
    const again = await start();
    await again.waitForLog(/"ipFamily":"IPv4","fullSync":true,.*"added":0,"replaced":0,"removed":0/, ANSWER_MS);
    expect(await servers()).toMatch(/-t 10\.96\.1\.5:80 -r 10\.200\.0\.11:8080 -m -w 0/);
    expect(await answering(5)).toEqual(['remote1']);
    expect(await held.state()).toMatchObject({ alive: true, server: 'pod1' });

    await bench.cluster.put(objectsOf('leaving', BOTH, v4(5)));
    await untilListed(servers, /-t 10\.96\.1\.5:80 -r 10\.200\.0\.11:8080 -m -w 1/);
    expect(await answering(5)).toEqual(['pod1', 'remote1']);
    expect(await held.stop()).toMatchObject({ alive: true, server: 'pod1' });
    expect(again.log()).not.toMatch(/drift|WARN|ERROR/);
  });

  it('is gone at once when nobody is connected to it', async () => {
    await bench.cluster.put(objectsOf('idle', BOTH, v4(6)));
    await start();
    await untilListed(servers, /-t 10\.96\.1\.6:80 -r 10\.200\.0\.11:8080 -m -w 1/);
    await bench.cluster.put(objectsOf('idle', ONLY_REMOTE, v4(6)));
    await untilListed(
      async () =>
        sorted(await servers())
          .filter((line) => line.includes('10.96.1.6:80'))
          .join('; '),
      /^-A -t 10\.96\.1\.6:80 -s rr; -a -t 10\.96\.1\.6:80 -r 10\.200\.1\.21:8080 -m -w 1$/,
    );
  });
});

describe('others', () => {
  it('who flush IPVS, or delete the link: it is noticed and repaired', async () => {
    await bench.cluster.put(objectsOf('flushed', BOTH, v4(7)));
    const running = await start();
    await untilAnswered(bench.lab, 'pod3', target(7), ANSWER_MS);
    await on('ipvsadm', '-C');
    await running.waitForLog(/drift found and repaired/, ANSWER_MS);
    expect(await answering(7)).toEqual(['pod1', 'remote1']);
    await on('ip', 'link', 'delete', 'kube-ipvs0');
    await untilListed(() => on('ip', '-o', 'address'), /kube-ipvs0 +inet 10\.96\.1\.7\/32/);
    await untilAnswered(bench.lab, 'pod3', target(7), ANSWER_MS);
    // also when a change comes before the look
    await on('ip', 'link', 'delete', 'kube-ipvs0');
    await on('ipvsadm', '-C');
    await bench.cluster.put(objectsOf('flushed', ONLY_REMOTE, v4(7)));
    await bench.cluster.put(objectsOf('flushed-too', BOTH, v4(8)));
    await untilAnswered(bench.lab, 'pod3', target(8), ANSWER_MS);
    await untilAnswered(bench.lab, 'pod3', target(7), ANSWER_MS);
    expect(await answering(7)).toEqual(['remote1']);
  });

  it('keep what is theirs, at the start, at each look, and when we leave', async () => {
    await on('ipvsadm', '-A', '-t', '192.0.2.1:80', '-s', 'wlc');
    await on('ipvsadm', '-a', '-t', '192.0.2.1:80', '-r', '192.0.2.9:80', '-g', '-w', '7');
    await on('ipvsadm', '-A', '-f', '77', '-s', 'rr');
    await on('ipvsadm', '-A', '-t', '10.250.0.1:4444', '-s', 'rr');
    await on('ip', 'link', 'add', 'theirs', 'type', 'dummy');
    await on('ip', 'address', 'add', '192.0.2.1/32', 'dev', 'theirs');
    await on('ipset', 'create', 'THEIRS', 'hash:ip');
    await on('iptables', '-t', 'nat', '-N', 'THEIRS');
    const theirs = async (): Promise<readonly string[]> => [
      // NodePorts answer at their address too
      ...sorted(await servers()).filter((line) => /192\.0\.2\.1:80 |-f 77 |:4444 /.test(line)),
      await on('ip', '-o', '-4', 'address', 'show', 'dev', 'theirs'),
      await on('ipset', 'save', 'THEIRS'),
      ...sorted(await on('iptables-save')).filter((line) => line.startsWith(':THEIRS')),
    ];
    const before = await theirs();
    expect(before).toHaveLength(7);
    await bench.cluster.put(objectsOf('beside', BOTH, v4(9)));
    const running = await start();
    await untilAnswered(bench.lab, 'pod3', target(9), ANSWER_MS);
    await sleep(7_000);
    expect(await theirs()).toEqual(before);
    await running.stop();
    await on(process.execPath, MAIN, 'cleanup', '--proxy-mode=ipvs');
    expect(await theirs()).toEqual(before);
    expect(sorted(await servers())).toHaveLength(4);
    expect(await on('ip', '-o', 'link')).not.toContain('kube-ipvs0');
  });
});

describe('the node', () => {
  it('does not answer with ports of its own at the addresses of Services', async () => {
    const node = await bench.lab.agent('node1');
    const server = await node.serve({ protocol: 'tcp', port: 2_222, name: 'node1' });
    await bench.cluster.put(objectsOf('guarded', BOTH, v4(10)));
    await start();
    await untilAnswered(bench.lab, 'pod3', target(10), ANSWER_MS);
    for (const from of ['pod3', 'outside'] as const) {
      const agent = await bench.lab.agent(from);
      const [guarded] = await agent.probe({ ...target(10), port: 2_222, timeoutMs: 5_000 });
      expect(guarded?.kind).toBe('refused');
      const [own] = await agent.probe({ protocol: 'tcp', host: '10.250.0.1', port: 2_222, timeoutMs: 5_000 });
      expect(own?.kind).toBe('answer');
    }
    await server.stop();
  });

  it('stays reachable when a Service claims its address', async () => {
    const node = await bench.lab.agent('node1');
    const server = await node.serve({ protocol: 'tcp', port: 2_223, name: 'node1' });
    await bench.cluster.put(objectsOf('claimer', { ...BOTH, spec: { externalIPs: ['10.250.0.1'] } }, v4(11)));
    await start();
    await untilAnswered(bench.lab, 'pod3', target(11), ANSWER_MS);
    expect(await on('ip', '-o', 'address', 'show', 'dev', 'kube-ipvs0')).not.toContain('10.250.0.1/');
    const outside = await bench.lab.agent('outside');
    const [own] = await outside.probe({ protocol: 'tcp', host: '10.250.0.1', port: 2_223, timeoutMs: 5_000 });
    expect(own?.kind).toBe('answer');
    const [service] = await outside.probe({ protocol: 'tcp', host: '10.250.0.1', port: 80, timeoutMs: 5_000 });
    expect(service?.kind).toBe('answer');
    await server.stop();
    await bench.cluster.delete(objectsOf('claimer', BOTH, v4(11)));
  });
});

describe('a scheduler', () => {
  it('is each Service’s own choice; one that does not exist is reported, and the node’s used', async () => {
    const annotated = (name: string, scheduler: string, number: number) =>
      objectsOf(name, BOTH, v4(number)).map((object) =>
        object.kind === 'Service'
          ? {
              ...object,
              metadata: { ...object.metadata, annotations: { 'pointsman.dev/ipvs-scheduler': scheduler } },
            }
          : object,
      );
    await bench.cluster.put([
      ...annotated('least', 'lc', 12),
      ...annotated('hashed', 'mh', 13),
      ...annotated('odd', 'nope', 14),
    ]);
    const running = await start('--ipvs-scheduler=wrr');
    await untilListed(servers, /-A -t 10\.96\.1\.14:80 -s wrr/);
    expect(await servers()).toMatch(/-A -t 10\.96\.1\.12:80 -s lc/);
    expect(await servers()).toMatch(/-A -t 10\.96\.1\.13:80 -s mh -b mh-port/);
    expect(running.log()).toMatch(/conformance\/odd.*pointsman\.dev\/ipvs-scheduler.*nope/);
  });
});

describe('SCTP', () => {
  beforeAll(() => serveSctp(bench));

  it.each(SCTP_WAYS)('reaches endpoints by ClusterIP and NodePort over $family', async (way) => {
    await start();
    const untilServed = (clusterIP: string): Promise<void> => {
      const listed = way.family === 'IPv6' ? `[${clusterIP}]` : clusterIP;
      return untilListed(servers, new RegExp(`--sctp-service ${listed.replace(/[[\].]/g, '\\$&')}:80 -r`));
    };
    const said = await callSctp(bench, way, { tries: 4, untilServed });
    for (const [call, answers] of said) expect(answers, call).toEqual(['pod1', 'remote1']);
  });
});
