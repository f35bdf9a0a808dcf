/** What a node has whatever its Services; and names that say what they stand for. */
import { describe, expect, it } from 'vitest';
import { base } from '../../../src/backends/nftables/base.ts';
import { className } from '../../../src/backends/nftables/classes.ts';
import {
  declarations,
  frontendSet,
  isStickyMap,
  KEY_SPACES,
  type NftFamily,
  nftFamily,
  SETS,
  STICKY,
} from '../../../src/backends/nftables/names.ts';
import { creation } from '../../../src/backends/nftables/objects.ts';
import { parseCIDR } from '../../../src/model/address.ts';
import type { LocalDetector, NodeContext } from '../../../src/model/node.ts';
import { formatCommand, formatShape, formatStatements } from '../../../src/nftables-json/text.ts';
import { FAMILIES, nodeOf } from '../ipvs/world.ts';

const cidr = (text: string): LocalDetector => {
  const parsed = parseCIDR(text);
  if (parsed === undefined) throw new Error(text);
  return { by: 'source', cidr: parsed };
};

const rulesOf = (node: NodeContext, name: string): readonly string[] =>
  base(node).objects.flatMap((object) =>
    object.kind === 'chain' && object.declaration.name === name ? object.rules.map(formatStatements) : [],
  );

const TO_SERVICES = 'ip daddr . meta l4proto . th dport vmap @service-ips';

describe('traffic to ClusterIPs', () => {
  const DETECTORS: readonly (readonly [LocalDetector, string, string])[] = [
    [cidr('10.200.0.0/16'), 'ip saddr != 10.200.0.0/16', 'ip saddr 10.200.0.0/16'],
    [{ by: 'interface', name: 'cni0' }, 'iifname != "cni0"', 'iifname "cni0"'],
    [{ by: 'interface-prefix', prefix: 'veth' }, 'iifname != "veth*"', 'iifname "veth*"'],
  ];
  const MARK = 'meta mark set meta mark | 0x4000';

  it.each(DETECTORS)('is masqueraded where it does not come from a pod: %j', (localDetector, outsiders, pods) => {
    const node = nodeOf('IPv4', { localDetector });
    expect(rulesOf(node, 'services').slice(0, 2)).toEqual([`ip daddr @cluster-ips ${outsiders} ${MARK}`, TO_SERVICES]);
    const key = 'ip daddr . meta l4proto . th dport';
    expect(rulesOf(node, 'policy-local')).toEqual([
      `${pods} ${key} vmap @inside-ips`,
      `fib saddr type local ${MARK}`,
      `fib saddr type local ${key} vmap @inside-ips`,
      `${key} vmap @local-ips`,
    ]);
    expect(rulesOf(node, 'nodeport-policy-local')[0]).toBe(`${pods} meta l4proto . th dport vmap @inside-nodeports`);
  });

  it('is not masqueraded where nobody can tell, and pods are like all others then', () => {
    const node = nodeOf('IPv4', { localDetector: undefined });
    expect(rulesOf(node, 'services')[0]).toBe(TO_SERVICES);
    expect(rulesOf(node, 'policy-local')[0]).toBe(`fib saddr type local ${MARK}`);
  });

  it('is masqueraded all of it where that is asked for', () => {
    for (const localDetector of [undefined, cidr('10.200.0.0/16')]) {
      const node = nodeOf('IPv4', { localDetector, masqueradeAll: true });
      expect(rulesOf(node, 'services').slice(0, 2)).toEqual([`ip daddr @cluster-ips ${MARK}`, TO_SERVICES]);
    }
  });

  it('has the bit that the node has, which goes when it has served', () => {
    expect(rulesOf(nodeOf('IPv4', { masqueradeMark: 8 }), 'masquerading')).toEqual([
      'meta mark & 0x8 != 0 meta mark set meta mark ^ 0x8 masquerade fully-random',
      'ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random',
    ]);
  });
});

describe('NodePorts', () => {
  const places = (node: NodeContext): readonly (string | undefined)[] => [
    rulesOf(node, 'services').at(-1),
    ...rulesOf(node, 'nodeport-endpoints-check'),
  ];
  const addresses = (node: NodeContext): readonly string[] =>
    base(node).objects.flatMap((object) => (object.kind === 'element' ? [object.id] : []));

  it('answer on all addresses of the node but loopback', () => {
    const node = nodeOf('IPv4', { nodePortAddresses: 'all' });
    expect(places(node)).toEqual([
      'fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports',
      'fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @no-endpoint-nodeports',
    ]);
    expect(addresses(node)).toEqual([]);
    expect(places(nodeOf('IPv6', { nodePortAddresses: 'all' }))[0]).toContain('ip6 daddr != ::1 meta l4proto');
  });

  it.each([[['10.250.0.1', '192.0.2.3']], [[]]])('answer on chosen addresses: %j', (nodePortAddresses) => {
    const node = nodeOf('IPv4', { nodePortAddresses });
    expect(places(node)).toEqual([
      'ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports',
      'ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports',
    ]);
    expect(addresses(node)).toEqual(nodePortAddresses.map((ip) => `element nodeport-ips ${ip}`));
  });
});

describe('the base chains', () => {
  const JUMPS = ['ct state new jump service-endpoints-check', 'ct state new jump cluster-ips-check'];

  it('are kube-proxy’s', () => {
    const chains = base(nodeOf('IPv4')).objects.flatMap((object) =>
      object.kind === 'chain' && object.declaration.hook !== undefined
        ? [formatCommand(creation(object, 'ip')[0] ?? { add: { table: { family: 'ip', name: '' } } })]
        : [],
    );
    expect(chains.map((line) => line.replace('add chain ip kube-proxy ', ''))).toEqual([
      'filter-prerouting-pre-dnat { type filter hook prerouting priority -110 ; policy accept ; }',
      'filter-output-pre-dnat { type filter hook output priority -110 ; policy accept ; }',
      'filter-input { type filter hook input priority 0 ; policy accept ; }',
      'filter-forward { type filter hook forward priority 0 ; policy accept ; }',
      'filter-output { type filter hook output priority 0 ; policy accept ; }',
      'nat-prerouting { type nat hook prerouting priority -100 ; policy accept ; }',
      'nat-output { type nat hook output priority -100 ; policy accept ; }',
      'nat-postrouting { type nat hook postrouting priority 100 ; policy accept ; }',
    ]);
    expect(rulesOf(nodeOf('IPv4'), 'filter-output')).toEqual(JUMPS);
  });

  it('drop what conntrack calls invalid, unless they are told to be liberal', () => {
    expect(rulesOf(nodeOf('IPv4', { dropInvalid: true }), 'filter-forward')).toEqual([
      'ct state invalid drop',
      ...JUMPS,
    ]);
    expect(rulesOf(nodeOf('IPv4', { dropInvalid: false }), 'filter-forward')).toEqual(JUMPS);
  });

  it.each(FAMILIES)('%s: refuse with the family’s own words, and each object is there once', (family) => {
    const { objects, owner, since } = base(nodeOf(family));
    expect({ owner, since }).toEqual({ owner: 'base', since: 0 });
    expect(new Set(objects.map(({ id }) => id)).size).toBe(objects.length);
    const text = JSON.stringify(objects);
    expect(text.includes('"icmpv6"')).toBe(family === 'IPv6');
    expect(text.includes('"icmp"')).toBe(family === 'IPv4');
    expect(objects.filter(({ kind }) => kind === 'set')).toHaveLength(declarations(nftFamily(family)).length);
  });
});

describe('names', () => {
  it.each([
    ['pick-3', { space: 'service', isLocal: false, mark: 0, isSticky: false, count: 3 }],
    ['external-sticky-2', { space: 'service', isLocal: false, mark: 8, isSticky: true, count: 2 }],
    ['local-pick-1', { space: 'service', isLocal: true, mark: 0, isSticky: false, count: 1 }],
    ['nodeport-local-pick-1', { space: 'nodePort', isLocal: true, mark: 0, isSticky: false, count: 1 }],
    ['nodeport-external-pick-250', { space: 'nodePort', isLocal: false, mark: 1, isSticky: false, count: 250 }],
  ] as const)('of a way: %s', (name, way) => {
    expect(className({ family: 'ip', ...way })).toBe(name);
  });

  it('of affinity’s sets say which belong to a frontend, and which one says that it has affinity', () => {
    for (const space of KEY_SPACES) {
      const { timeouts, endpoints, departed } = STICKY[space];
      for (const name of [timeouts, endpoints]) expect(frontendSet(name)).toEqual({ space, hasSlots: false });
      expect(frontendSet(departed)).toBeUndefined();
      expect([timeouts, endpoints, departed, 'affinity'].map(isStickyMap)).toEqual([true, false, false, false]);
    }
  });

  it('of sets say whose key they have, and which have slots', () => {
    for (const space of KEY_SPACES) {
      for (const [role, name] of Object.entries(SETS[space])) {
        expect(frontendSet(name)).toEqual({ space, hasSlots: role === 'endpoints' || role === 'localEndpoints' });
      }
    }
    expect(frontendSet('firewall-ips')).toEqual({ space: 'service', hasSlots: false });
    expect(frontendSet('source-ranges')).toEqual({ space: 'service', hasSlots: false });
    for (const name of ['cluster-ips', 'nodeport-ips', 'hairpin-connections', 'affinity', 'endpoint', '']) {
      expect(frontendSet(name)).toBeUndefined();
    }
  });

  it.each(['ip', 'ip6'] as const)(
    '%s: of sets that hold frontends cover all that are declared but four',
    (family: NftFamily) => {
      const others = declarations(family).filter(({ name }) => frontendSet(name) === undefined);
      expect(others.map(({ name }) => name)).toEqual([
        'cluster-ips',
        'nodeport-ips',
        'hairpin-connections',
        'affinity',
      ]);
      expect(new Set(declarations(family).map(({ name }) => name)).size).toBe(declarations(family).length);
      const shape = formatShape(declarations(family).find(({ name }) => name === 'endpoints') ?? raise());
      expect(shape).toContain(`typeof ${family} daddr . meta l4proto . th dport . numgen random mod 2`);
    },
  );
});

const raise = (): never => {
  throw new Error('it is not declared');
};
