/** What we want in the kernel against what kube-proxy 1.36.2 left there for the same objects, line by line. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ipvsBackend } from '../../../src/backends/ipvs/index.ts';
import { type DesiredIpvsObject, formatObject } from '../../../src/backends/ipvs/objects.ts';
import { SaveParser } from '../../../src/backends/xtables/parse.ts';
import { compileAll } from '../../../src/dataplane/report.ts';
import { IP_FAMILIES, type IPFamily, parseCIDR } from '../../../src/model/address.ts';
import { OBJECT_KINDS } from '../../../src/model/kubernetes.ts';
import { Tracker } from '../../../src/model/tracker.ts';
import { resourcesFor } from '../../../src/sources/resources.ts';
import { SETTINGS } from './memory-kernel.ts';

const FOLDER = new URL('../../fixtures/kube-proxy-1.36.2/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8');
const linesIn = (name: string): readonly string[] =>
  read(name)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

const trackerOfRecording = (): Tracker => {
  const { items } = JSON.parse(read('objects.json')) as { items: { kind: string }[] };
  const tracker = new Tracker({
    node: {
      nodeName: 'node1',
      bindAddress: undefined,
      detectLocalMode: 'ClusterCIDR',
      clusterCIDRs: ['10.200.0.0/16', 'fd20::/48'].flatMap((text) => parseCIDR(text) ?? []),
      bridgeInterface: '',
      interfaceNamePrefix: '',
      nodePortAddresses: ['10.250.0.1/32', 'fd50::1/128'],
      localhostNodePorts: false,
      seesLocalAddresses: true,
      seesServiceCIDRs: false,
      masqueradeBit: 14,
      masqueradeAll: false,
      dropInvalid: true,
    },
    interfaceAddresses: () => ['10.250.0.1', 'fd50::1'],
  });
  for (const kind of OBJECT_KINDS) {
    const resource = resourcesFor('node1').find((candidate) => candidate.kind === kind);
    tracker.replace(
      kind,
      items.filter((item) => item.kind === kind && resource?.selects(item) !== false),
    );
  }
  return tracker;
};

const formatted = (object: DesiredIpvsObject): readonly string[] => {
  switch (object.kind) {
    case 'virtual-server':
    case 'real-server':
    case 'set':
    case 'entry':
    case 'address':
      return [formatObject(object)];
    default:
      return [];
  }
};

const ours = (family: IPFamily): readonly string[] => {
  const { sections, problems } = compileAll(
    ipvsBackend({ family, settings: SETTINGS }),
    trackerOfRecording().take(family),
  );
  expect(problems).toEqual([]);
  return sections.flatMap(({ objects }) => objects.flatMap(formatted));
};

const familyOfLine = (line: string): IPFamily => (/KUBE-6-|\[|::/.test(line) ? 'IPv6' : 'IPv4');

/** In the words of the same tools: `ipvsadm -Sn`, `ipset save`, and `ip -br address` one by one. */
const recorded = (family: IPFamily): readonly string[] =>
  [
    ...linesIn('ipvs/ipvsadm-Sn.txt'),
    ...linesIn('ipvs/ipset-save.txt').map((line) => line.replace(/ (?:bucketsize|initval) \S+/g, '')),
    ...[...read('ipvs/addresses.txt').matchAll(/\S+\/(?:32|128)/g)].map(([ip]) => `address add ${ip} dev kube-ipvs0`),
  ].filter((line) => familyOfLine(line) === family);

const without = (lines: readonly string[], others: readonly string[]): readonly string[] => {
  const known = new Set(others);
  return lines.filter((line) => !known.has(line)).sort();
};

/** What kube-proxy does not know. */
const OURS_ALONE: readonly RegExp[] = [
  // external policy Local: pods and the node are led to the endpoints of the cluster by a mark …
  /^-[Aa] -f /,
  // … that this set has
  / KUBE-(?:6-)?EXTERNAL-POLICY-(?:MARK|OWNER) /,
  // policy Local without an endpoint here: dropped, as in mode iptables
  / KUBE-(?:6-)?DROP-(?:EXTERNAL|INTERNAL) /,
];

/** External policy Local without an endpoint here: kube-proxy takes those of the cluster, and does not masquerade. */
const KUBE_PROXY_ALONE: Readonly<Record<IPFamily, readonly string[]>> = {
  IPv4: [
    '-a -t 10.250.0.1:30006 -r 10.200.1.21:8080 -m -w 1',
    '-a -t 10.250.0.1:30006 -r 10.200.1.22:8080 -m -w 1',
    '-a -t 10.250.0.1:30009 -r 10.200.1.21:8080 -m -w 1',
    '-a -t 203.0.113.9:80 -r 10.200.1.21:8080 -m -w 1',
  ],
  IPv6: [],
};

/** Addresses under external policy Local, and the ClusterIP of the same Service. */
const LOCAL: Readonly<Record<string, string>> = {
  '10.250.0.1,tcp:30005': '10.96.1.5',
  '10.250.0.1,tcp:30006': '10.96.1.6',
  '10.250.0.1,tcp:30008': '10.96.1.8',
  '10.250.0.1,tcp:30009': '10.96.1.9',
  '10.250.0.1,tcp:30014': '10.96.1.14',
  '10.250.0.1,tcp:30020': '10.96.1.20',
  '10.250.0.1,tcp:30040': '10.96.1.40',
  '203.0.113.14,tcp:80': '10.96.1.14',
  '203.0.113.8,tcp:80': '10.96.1.8',
  '203.0.113.9,tcp:80': '10.96.1.9',
};

describe.each(IP_FAMILIES)('%s', (family) => {
  const [mine, theirs] = [ours(family), recorded(family)];

  it('has every server, entry and address that kube-proxy has, but for the one known difference', () => {
    expect(theirs.length).toBeGreaterThan(25);
    expect(without(theirs, mine)).toEqual(KUBE_PROXY_ALONE[family]);
  });

  it('has nothing else but what is ours alone', () => {
    const unknown = without(mine, theirs).filter((line) => !OURS_ALONE.some((pattern) => pattern.test(line)));
    expect(unknown).toEqual([]);
    expect(new Set(mine).size).toBe(mine.length);
  });
});

const withoutComment = (rule: string): string => rule.replace(/-m comment --comment (?:"[^"]*"|\S+) /, '');

/** Of our chains and of the jumps to them, table by table. */
const rulesIn = (lines: Iterable<DesiredIpvsObject>): readonly string[] =>
  [...lines].flatMap((object) => {
    if (object.kind === 'chain')
      return object.rules.map((rule) => `${object.table} ${object.name} ${withoutComment(rule)}`);
    return object.kind === 'jump' ? [`${object.table} ${object.chain} ${withoutComment(object.listed)}`] : [];
  });

const RULE_FILES = { IPv4: 'ipvs/iptables-save.txt', IPv6: 'ipvs/ip6tables-save.txt' } as const;

/** Rules of kube-proxy that are written otherwise here. */
const KUBE_PROXY_RULES: Readonly<Record<IPFamily, readonly string[]>> = {
  IPv4: [
    // source ranges for the node itself: by sets, in table mangle, where IPVS has not taken the packet yet
    'filter KUBE-IPVS-OUT-FILTER -s 203.0.113.10/32 -m ipvs --vproto 6 --vaddr 203.0.113.10 --vport 80 -j DROP',
    'filter KUBE-IPVS-OUT-FILTER -s 203.0.113.11/32 -m ipvs --vproto 6 --vaddr 203.0.113.11 --vport 80 -j DROP',
    'filter OUTPUT -j KUBE-IPVS-OUT-FILTER',
    // policy Local: the node's own packets are masqueraded all the same
    'nat KUBE-LOAD-BALANCER -m set --match-set KUBE-LOAD-BALANCER-LOCAL dst,dst -j RETURN',
    'nat KUBE-NODE-PORT -p tcp -m set --match-set KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN',
    // external IPs are IPVS's wherever a packet comes from
    'nat KUBE-SERVICES -m set --match-set KUBE-EXTERNAL-IP dst,dst -m addrtype --dst-type LOCAL -j ACCEPT',
    'nat KUBE-SERVICES -m set --match-set KUBE-EXTERNAL-IP dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT',
    'nat KUBE-SERVICES -m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -m addrtype --dst-type LOCAL -j ACCEPT',
    'nat KUBE-SERVICES -m set --match-set KUBE-EXTERNAL-IP-LOCAL dst,dst -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT',
  ],
  IPv6: ['filter OUTPUT -j KUBE-IPVS-OUT-FILTER'],
};

it.each(IP_FAMILIES)('%s: has every rule that kube-proxy has, but for those that are meant to differ', (family) => {
  const parser = new SaveParser();
  for (const line of read(RULE_FILES[family]).split('\n')) parser.push(line);
  const theirs = rulesIn(parser.objects.values());
  const { node } = trackerOfRecording().take(family);
  const mine = rulesIn(ipvsBackend({ family, settings: SETTINGS }).base(node).objects);
  expect(theirs.length).toBeGreaterThan(20);
  expect(without(theirs, mine)).toEqual(KUBE_PROXY_RULES[family]);
});

describe('what is ours alone', () => {
  const mine = ours('IPv4');
  const entriesOf = (set: string): readonly string[] =>
    mine.flatMap((line) => (line.startsWith(`add ${set} `) ? [line.replace(`add ${set} `, '')] : [])).sort();
  const behind = (flag: string): readonly string[] =>
    mine.flatMap((line) => (line.startsWith(`-a ${flag} `) ? [line.replace(`-a ${flag} `, '')] : [])).sort();

  it('drops where kube-proxy takes other nodes’ endpoints, and where it refuses', () => {
    expect(entriesOf('KUBE-DROP-EXTERNAL')).toEqual([
      '10.250.0.1,tcp:30006',
      '10.250.0.1,tcp:30009',
      '203.0.113.9,tcp:80',
    ]);
    expect(entriesOf('KUBE-DROP-INTERNAL')).toEqual(['10.96.1.16,tcp:80']);
  });

  it('leads from each address under policy Local to what the ClusterIP of that Service has', () => {
    const marked = entriesOf('KUBE-EXTERNAL-POLICY-MARK').map((text) => text.split(' skbmark '));
    expect(marked.map(([address]) => address)).toEqual(Object.keys(LOCAL).sort());
    for (const [address = '', mark = ''] of marked) {
      const wanted = behind(`-t ${LOCAL[address]}:80`);
      expect(wanted.length, address).toBeGreaterThan(0);
      expect(behind(`-f ${mark}`), address).toEqual(wanted);
      expect(behind(`-f ${mark.replace(')', ', own)')}`), `${address}, from the node`).toEqual(wanted);
    }
    const servers = mine.filter((line) => line.startsWith('-A -f '));
    expect(servers).toHaveLength(2 * new Set(Object.values(LOCAL)).size);
  });
});
