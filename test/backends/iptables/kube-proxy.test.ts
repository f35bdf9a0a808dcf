/** Our chains against those that kube-proxy 1.36.2 left in a kernel for the same objects. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../../src/backends/iptables/index.ts';
import { IptablesListing } from '../../../src/backends/iptables/listing.ts';
import type { DesiredIptablesObject } from '../../../src/backends/iptables/objects.ts';
import { compileAll } from '../../../src/dataplane/report.ts';
import { type IPFamily, parseCIDR } from '../../../src/model/address.ts';
import { OBJECT_KINDS } from '../../../src/model/kubernetes.ts';
import { Tracker } from '../../../src/model/tracker.ts';
import { resourcesFor } from '../../../src/sources/resources.ts';

const FOLDER = new URL('../../fixtures/kube-proxy-1.36.2/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8');

const ours = (family: IPFamily): readonly DesiredIptablesObject[] => {
  const { items } = JSON.parse(read('objects.json')) as { items: { kind: string }[] };
  const tracker = new Tracker({
    node: {
      nodeName: 'node1',
      bindAddress: undefined,
      detectLocalMode: 'ClusterCIDR',
      clusterCIDRs: ['10.200.0.0/16', 'fd20::/48'].flatMap((text) => parseCIDR(text) ?? []),
      bridgeInterface: '',
      interfaceNamePrefix: '',
      nodePortAddresses: ['10.250.0.1/32', '127.0.0.1/32', 'fd50::1/128'],
      localhostNodePorts: true,
      seesLocalAddresses: false,
      seesServiceCIDRs: false,
      masqueradeBit: 14,
      masqueradeAll: false,
      dropInvalid: true,
    },
  });
  for (const kind of OBJECT_KINDS) {
    const resource = resourcesFor('node1').find((candidate) => candidate.kind === kind);
    tracker.replace(
      kind,
      items.filter((item) => item.kind === kind && resource?.selects(item) !== false),
    );
  }
  return compileAll(iptablesBackend({ family }), tracker.take(family)).sections.flatMap(({ objects }) => objects);
};

const COMMENT = /-m comment --comment (?:"[^"]*"|\S+) ?/;
/** Dispatch chains are bags: kube-proxy fills them in the order of a Go map. */
const BAGS = /KUBE-(SERVICES|EXTERNAL-SERVICES|NODEPORTS|PROXY-FIREWALL)$/;
/** What kube-proxy has and we have not: its flush detector, and rules that only count packets to localhost. */
const NOT_OURS = /KUBE-PROXY-CANARY|localhost_nps_accepted_pkts/;

const comparable = (objects: Iterable<DesiredIptablesObject>): Readonly<Record<string, readonly string[]>> => {
  const chains: Record<string, readonly string[]> = {};
  for (const object of objects) {
    if (NOT_OURS.test(object.id) || object.kind === 'sysctl') continue;
    const rules = object.kind === 'chain' ? object.rules : [object.content];
    const plain = rules
      .filter((rule) => !NOT_OURS.test(rule))
      .map((rule) =>
        rule
          .replace(COMMENT, '')
          .replace(/-m nfacct --nfacct-name \S+ /, '')
          .trim(),
      );
    chains[object.id] = BAGS.test(object.id) ? [...plain].sort() : plain;
  }
  return chains;
};

/** Nobody here, policy Local: the call is not passed on to another Service's NodePort. */
const isNotOursAlone =
  (id: string) =>
  (rule: string): boolean =>
    !(id.startsWith('nat KUBE-EXT-') && rule === '-j ACCEPT');

describe.each([
  { family: 'IPv4', file: 'iptables-save.txt' },
  { family: 'IPv6', file: 'ip6tables-save.txt' },
] as const)('$family', ({ family, file }) => {
  it('has the same chains with the same rules as kube-proxy', () => {
    const listing = new IptablesListing(family);
    for (const line of read(file).split('\n')) listing.push(line);
    const recorded = comparable(listing.objects());
    expect(Object.keys(recorded).length).toBeGreaterThan(15);
    expect('filter KUBE-FIREWALL -> DROP' in recorded).toBe(family === 'IPv4');
    // the recording was made with NodePorts on 10.250.0.1 and 127.0.0.1 (IPv4) and fd50::1
    const mine = comparable(ours(family));
    expect(
      Object.fromEntries(Object.entries(mine).map(([id, rules]) => [id, rules.filter(isNotOursAlone(id))])),
    ).toEqual(recorded);
  });
});
