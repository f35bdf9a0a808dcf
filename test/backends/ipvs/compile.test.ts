/** One service port to the objects that it needs. */
import { describe, expect, it } from 'vitest';
import { compile } from '../../../src/backends/ipvs/compile.ts';
import { type DesiredIpvsObject, formatObject } from '../../../src/backends/ipvs/objects.ts';
import { SCHEDULERS } from '../../../src/backends/ipvs/settings.ts';
import { parseCIDR } from '../../../src/model/address.ts';
import type { NodeContext } from '../../../src/model/node.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { SETTINGS } from './memory-kernel.ts';
import { by, nodeOf, tcp, withLocal } from './world.ts';

const POD = '10.200.0.1';
const OTHER = '10.200.1.2';
const NODE = nodeOf('IPv4');

/** In the tools' words, without frontends around them. */
const linesOf = (service: ServiceEndpoints, node: NodeContext = NODE): readonly string[] => {
  const { objects } = compile(service, node, SETTINGS);
  const flat = objects.flatMap((object): readonly DesiredIpvsObject[] =>
    object.kind === 'frontend' ? object.objects : [object],
  );
  return flat.map((object) => {
    if (object.kind === 'frontend' || object.kind === 'chain' || object.kind === 'jump') throw new Error(object.id);
    return formatObject(object);
  });
};

const serversAt = (lines: readonly string[], flag: string): readonly string[] =>
  lines.filter((line) => line.startsWith(`-A ${flag} `) || line.startsWith(`-a ${flag} `));

describe('an address', () => {
  it('is bound and guarded, unless the node has it anyway', () => {
    const lines = linesOf(tcp('web', '10.96.0.1', [POD], { externalIPs: ['192.0.2.7', '10.250.0.1'] }));
    expect(lines).toContain('address add 192.0.2.7/32 dev kube-ipvs0');
    expect(lines).toContain('add KUBE-IPVS-IPS 192.0.2.7');
    expect(lines.filter((line) => line.includes('10.250.0.1'))).toEqual([
      '-A -t 10.250.0.1:80 -s rr',
      `-a -t 10.250.0.1:80 -r ${POD}:8080 -m -w 1`,
      'add KUBE-EXTERNAL-IP 10.250.0.1,tcp:80',
    ]);
  });

  it('is looked up among those that the node has: no walk through them', () => {
    class Unwalked extends Set<string> {
      walks = 0;
      override [Symbol.iterator]() {
        this.walks += 1;
        return super[Symbol.iterator]();
      }
    }
    const localAddresses = new Unwalked();
    for (let i = 0; i < 256; i += 1) localAddresses.add(`192.0.2.${i}`);
    const externalIPs = ['192.0.2.7', '198.51.100.7'];
    const lines = linesOf(tcp('web', '10.96.0.1', [POD], { externalIPs }), nodeOf('IPv4', { localAddresses }));
    expect(lines.filter((line) => line.startsWith('address '))).toHaveLength(2);
    expect(localAddresses.walks).toBe(0);
  });

  it('of IPv6 is bound by itself, and written in brackets', () => {
    const service = tcp('web', 'fd96::1', ['fd20::1']);
    const lines = linesOf({ ...service, port: { ...service.port, family: 'IPv6' } }, nodeOf('IPv6'));
    expect(lines).toEqual([
      'address add fd96::1/128 dev kube-ipvs0',
      'add KUBE-6-IPVS-IPS fd96::1',
      '-A -t [fd96::1]:80 -s rr',
      '-a -t [fd96::1]:80 -r [fd20::1]:8080 -m -w 1',
      'add KUBE-6-CLUSTER-IP fd96::1,tcp:80',
    ]);
  });
});

describe('a NodePort', () => {
  const web = tcp('web', '10.96.0.1', [POD], { nodePort: 30_001 });
  const places = (node: NodeContext): readonly string[] =>
    linesOf(web, node).flatMap((line) => /^-A \S+ (\S+):30001 /.exec(line)?.[1] ?? []);

  it('has a server at each address of the node, link-local ones left out', () => {
    expect(places(nodeOf('IPv4', { localAddresses: new Set(['10.250.0.1', '192.0.2.3']) }))).toEqual([
      '10.250.0.1',
      '192.0.2.3',
    ]);
    const localAddresses = new Set(['fd50::1', 'fe80::1', 'feb0::7', 'fec0::7']);
    expect(places(nodeOf('IPv6', { localAddresses }))).toEqual(['[fd50::1]', '[fec0::7]']);
  });

  it('has one at those addresses alone that are configured', () => {
    const localAddresses = new Set(['10.250.0.1', '192.0.2.3']);
    expect(places(nodeOf('IPv4', { localAddresses, nodePortAddresses: ['192.0.2.3'] }))).toEqual(['192.0.2.3']);
  });

  it('is closed on a node without an address for it, sets of ports and all', () => {
    for (const isLocal of [false, true]) {
      const local = { ...web, port: { ...web.port, externalPolicyLocal: isLocal } };
      const lines = linesOf(local, nodeOf('IPv4', { nodePortAddresses: [] }));
      expect(lines.filter((line) => /3000|-f /.test(line))).toEqual([]);
    }
  });

  it('is in the sets of ports; by SCTP, which has none, with each address', () => {
    expect(linesOf(web)).toContain('add KUBE-NODE-PORT-TCP 30001');
    expect(linesOf(by('UDP', web))).toContain('add KUBE-NODE-PORT-UDP 30001');
    const sctp = linesOf(by('SCTP', { ...web, port: { ...web.port, externalPolicyLocal: true } }));
    expect(sctp).toContain('add KUBE-NODE-PORT-SCTP-HASH 10.250.0.1,sctp:30001');
    expect(sctp).toContain('add KUBE-NODE-PORT-LOCAL-SCTP-HASH 10.250.0.1,sctp:30001');
  });
});

describe('external policy Local', () => {
  const VIP = '192.0.2.7';
  const port = { externalPolicyLocal: true, loadBalancerVIPs: [VIP], nodePort: 30_001, healthCheckNodePort: 31_000 };
  const web = withLocal(tcp('web', '10.96.0.1', [POD, OTHER], port), [POD]);

  it('serves this node’s endpoints, and by two marks those of the cluster', () => {
    const lines = linesOf(web);
    const here = [`-r ${POD}:8080 -m -w 1`];
    const everywhere = [...here, `-r ${OTHER}:8080 -m -w 1`];
    const marks = lines.flatMap((line) => /^-A -f (\(.*?\)) /.exec(line)?.[1] ?? []);
    expect(marks).toEqual(['(10.96.0.1 tcp 80)', '(10.96.0.1 tcp 80, own)']);
    const endpointsOf = (flag: string): readonly string[] =>
      serversAt(lines, flag)
        .slice(1)
        .map((line) => line.replace(`-a ${flag} `, ''));
    expect(endpointsOf(`-t ${VIP}:80`)).toEqual(here);
    expect(endpointsOf('-t 10.250.0.1:30001')).toEqual(here);
    expect(endpointsOf('-t 10.96.0.1:80')).toEqual(everywhere);
    for (const mark of marks) expect(endpointsOf(`-f ${mark}`)).toEqual(everywhere);
    expect(lines).toContain(`add KUBE-LOAD-BALANCER-LOCAL ${VIP},tcp:80`);
    expect(lines).toContain('add KUBE-NODE-PORT-LOCAL-TCP 30001');
    expect(lines).toContain('add KUBE-HEALTH-CHECK-NODE-PORT 31000');
    expect(lines.filter((line) => line.includes('DROP'))).toEqual([]);
  });

  it('without an endpoint here drops what comes from outside; with none at all it is refused', () => {
    const drops = (service: ServiceEndpoints): readonly string[] =>
      linesOf(service).filter((line) => line.includes('DROP'));
    expect(drops({ ...web, local: [] })).toEqual([
      `add KUBE-DROP-EXTERNAL ${VIP},tcp:80`,
      'add KUBE-DROP-EXTERNAL 10.250.0.1,tcp:30001',
    ]);
    expect(drops({ ...web, local: [], cluster: [], hasAny: false })).toEqual([]);
    const internal = {
      ...web,
      local: [],
      port: { ...web.port, internalPolicyLocal: true, externalPolicyLocal: false },
    };
    expect(drops(internal)).toEqual(['add KUBE-DROP-INTERNAL 10.96.0.1,tcp:80']);
  });

  it('has one mark at all its ways in, recorded at its ClusterIP', () => {
    expect(linesOf(web).filter((line) => line.includes('skbmark'))).toEqual([
      `add KUBE-EXTERNAL-POLICY-MARK ${VIP},tcp:80 skbmark (10.96.0.1 tcp 80)`,
      'add KUBE-EXTERNAL-POLICY-MARK 10.250.0.1,tcp:30001 skbmark (10.96.0.1 tcp 80)',
      'add KUBE-EXTERNAL-POLICY-OWNER 10.96.0.1,tcp:80 skbmark (10.96.0.1 tcp 80)',
    ]);
    const clusterOnly = { ...web, port: { ...web.port, loadBalancerVIPs: [], nodePort: 0 } };
    expect(linesOf(clusterOnly).filter((line) => line.includes('skbmark') || line.includes('-f '))).toEqual([]);
  });
});

describe('a scheduler', () => {
  const withScheduler = (scheduler: string) => compile(tcp('web', '10.96.0.1', [], { scheduler }), NODE, SETTINGS);
  const contentOf = (scheduler: string): string =>
    withScheduler(scheduler)
      .objects.map(({ content }) => content)
      .join();

  it.each(SCHEDULERS)('%s is the Service’s own choice', (scheduler) => {
    expect(withScheduler(scheduler).notes).toEqual([]);
    expect(contentOf(scheduler)).toContain(`-s ${scheduler}${scheduler === 'mh' ? ' -b mh-port' : ''}\n`);
  });

  it('that is none is told, and the node’s is used', () => {
    expect(withScheduler('fastest').notes).toEqual([
      expect.stringMatching(/IPVS has no "fastest", so it is rr; there is: rr, /),
    ]);
    expect(contentOf('fastest')).toContain('-s rr\n');
  });

  it('of 256 KiB, with what a terminal would obey, is told in a line', () => {
    const [note = ''] = withScheduler(`\u001b[2J\n${'x'.repeat(262_144)}`).notes ?? [];
    expect(note).toMatch(/IPVS has no "\\u001b\[2J\\nx+…" \(262149 characters\), so it is rr/);
    expect(note.length).toBeLessThan(300);
  });

  it('mh of the node hashes the port too', () => {
    const { objects } = compile(tcp('web', '10.96.0.1', []), NODE, { ...SETTINGS, scheduler: 'mh' });
    expect(objects.map(({ content }) => content).join()).toContain('-s mh -b mh-port');
  });
});

it('session affinity is persistence, at every address', () => {
  const port = { affinitySeconds: 600, nodePort: 30_001, externalIPs: ['192.0.2.7'], externalPolicyLocal: true };
  const servers = linesOf(tcp('web', '10.96.0.1', [POD], port)).filter((line) => line.startsWith('-A'));
  expect(servers).toHaveLength(5);
  const marked = servers.filter((line) => line.startsWith('-A -f'));
  expect(marked).toHaveLength(2);
  // where a mark leads to it, persistence would not translate the port
  for (const line of servers) expect(line).toMatch(marked.includes(line) ? / -s mh$/ : / -s rr -p 600$/);
});

describe('source ranges', () => {
  const ranges = (...texts: readonly string[]) => texts.flatMap((text) => parseCIDR(text) ?? []);
  const entriesFor = (...texts: readonly string[]): readonly string[] =>
    linesOf(tcp('web', '10.96.0.1', [], { loadBalancerVIPs: ['192.0.2.7'], sourceRanges: ranges(...texts) })).filter(
      (line) => /LOAD-BALANCER-(?:FW|SOURCE)/.test(line),
    );

  it('are entries of the balancer’s address; one address stands without its length', () => {
    expect(entriesFor('198.51.100.0/24', '203.0.113.9/32')).toEqual([
      'add KUBE-LOAD-BALANCER-FW 192.0.2.7,tcp:80',
      'add KUBE-LOAD-BALANCER-SOURCE-CIDR 192.0.2.7,tcp:80,198.51.100.0/24',
      'add KUBE-LOAD-BALANCER-SOURCE-CIDR 192.0.2.7,tcp:80,203.0.113.9',
    ]);
  });

  it('with the node in them let the node’s own packets in, whose source is the address itself', () => {
    expect(entriesFor('10.250.0.0/24')).toContain('add KUBE-LOAD-BALANCER-SOURCE-IP 192.0.2.7,tcp:80,192.0.2.7');
  });

  it('of nobody close the address', () => {
    expect(entriesFor()).toEqual(['add KUBE-LOAD-BALANCER-FW 192.0.2.7,tcp:80']);
  });
});

it('an endpoint on this node is masqueraded when it reaches itself', () => {
  const lines = linesOf(withLocal(tcp('web', '10.96.0.1', [POD, OTHER]), [POD]));
  expect(lines.filter((line) => line.includes('LOOP-BACK'))).toEqual([`add KUBE-LOOP-BACK ${POD},tcp:8080,${POD}`]);
});
