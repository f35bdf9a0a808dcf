import { describe, expect, it } from 'vitest';
import type { IPFamily } from '../../src/model/address.ts';
import {
  factsAwaited,
  missingFacts,
  type NodeContext,
  type NodeFacts,
  type NodeOptions,
  nodeContext,
  readNode,
  withFormer,
} from '../../src/model/node.ts';
import { type Fields, NODE_OPTIONS, nodeObject } from './objects.ts';

const node = (...addresses: readonly (readonly [type: string, address: string])[]): NodeFacts =>
  readNode(nodeObject({ status: { addresses: addresses.map(([type, address]) => ({ type, address })) } }));

const DUAL = node(['InternalIP', '10.250.0.1'], ['InternalIP', 'fd50::1']);
const INTERFACES = ['127.0.0.1', '10.250.0.1', '10.250.1.1', '10.200.0.1', '::1', 'fd50::1', 'fd51::1'];

const context = (
  options: Partial<NodeOptions>,
  facts: NodeFacts | undefined = DUAL,
  family: IPFamily = 'IPv4',
): NodeContext => nodeContext({ ...NODE_OPTIONS, ...options }, facts, family, INTERFACES);

describe('what is read of a Node', () => {
  it('is its name, zone, pod CIDRs and addresses, internal ones first', () => {
    const addresses = [
      { type: 'Hostname', address: 'node1' },
      { type: 'ExternalIP', address: '203.0.113.1' },
      { type: 'InternalIP', address: '010.250.0.1' },
      { type: 'InternalIP', address: 'FD50::1' },
      { type: 'InternalDNS', address: '10.9.9.9' },
      { type: 'InternalIP', address: 'unknown' },
      { type: 'ExternalIP' },
      null,
    ];
    const facts = readNode(nodeObject({ status: { addresses } }));
    expect({ ...facts, podCIDRs: facts.podCIDRs.map(({ text }) => text) }).toEqual({
      name: 'node1',
      zone: 'za',
      podCIDRs: ['10.200.0.0/24', 'fd20:0:0:1::/64'],
      addresses: ['10.250.0.1', 'fd50::1', '203.0.113.1'],
    });
  });

  it.each([
    ['the list', { podCIDR: '10.1.0.0/24', podCIDRs: ['10.2.0.0/24'] }, ['10.2.0.0/24']],
    ['the one, where there is no list', { podCIDR: '10.1.0.0/24' }, ['10.1.0.0/24']],
    ['the one, where the list is empty', { podCIDR: '10.1.0.0/24', podCIDRs: [] }, ['10.1.0.0/24']],
    ['what can be read', { podCIDRs: ['nonsense', 'fd00::/64', 7] }, ['fd00::/64']],
    ['nothing', {}, []],
    ['nothing without a spec', undefined, []],
  ])('pod CIDRs: %s', (_, spec, expected) => {
    expect(readNode(nodeObject({ spec })).podCIDRs.map(({ text }) => text)).toEqual(expected);
  });

  it.each([
    ['no labels', { name: 'node1' }, ''],
    ['other labels only', { name: 'node1', labels: { 'topology.kubernetes.io/region': 'r' } }, ''],
    ['an empty label', { name: 'node1', labels: { 'topology.kubernetes.io/zone': '' } }, ''],
    ['the old label', { name: 'node1', labels: { 'failure-domain.beta.kubernetes.io/zone': 'zx' } }, ''],
    ['the label', { name: 'node1', labels: { 'topology.kubernetes.io/zone': 'zx' } }, 'zx'],
  ])('zone: %s', (_, metadata: Fields, zone) => {
    expect(readNode(nodeObject({ metadata })).zone).toBe(zone);
  });
});

describe('the node’s own address', () => {
  const NONE = node();
  const V4 = node(['InternalIP', '10.250.0.1']);
  const V6 = node(['InternalIP', 'fd50::1']);
  it.each([
    // Q1-14, but for kube-proxy's 127.0.0.1 and ::1 where nothing is known: here that is unknown
    ['bound to IPv4, no Node', '10.9.0.1', undefined, '10.9.0.1', undefined],
    ['bound to IPv6, no Node', 'fd09::1', undefined, undefined, 'fd09::1'],
    ['nothing bound, no Node', undefined, undefined, undefined, undefined],
    ['nothing bound, Node without addresses', undefined, NONE, undefined, undefined],
    ['nothing bound, IPv4 Node', undefined, V4, '10.250.0.1', undefined],
    ['nothing bound, IPv6 Node', undefined, V6, undefined, 'fd50::1'],
    ['nothing bound, dual-stack Node', undefined, DUAL, '10.250.0.1', 'fd50::1'],
    ['bound to IPv4, dual-stack Node', '10.9.0.1', DUAL, '10.9.0.1', 'fd50::1'],
    ['bound to IPv6, dual-stack Node', 'fd09::1', DUAL, '10.250.0.1', 'fd09::1'],
    ['bound to loopback', '127.0.0.1', DUAL, '127.0.0.1', 'fd50::1'],
    ['bound to the other family', 'fd09::1', V4, '10.250.0.1', 'fd09::1'],
    ['an external address only', undefined, node(['ExternalIP', '203.0.113.1']), '203.0.113.1', undefined],
    [
      'several of a family',
      undefined,
      node(['InternalIP', '10.0.0.2'], ['InternalIP', '10.0.0.1']),
      '10.0.0.2',
      undefined,
    ],
  ])('%s', (_, bindAddress, facts, ipv4, ipv6) => {
    const of = (family: IPFamily) => nodeContext({ ...NODE_OPTIONS, bindAddress }, facts, family, INTERFACES).nodeIP;
    expect([of('IPv4'), of('IPv6')]).toEqual([ipv4, ipv6]);
  });
});

describe('how pods are told from others', () => {
  const source = (text: string): string => `source ${text}`;
  const shown = ({ localDetector }: NodeContext): string | undefined => {
    if (localDetector === undefined) return undefined;
    if (localDetector.by === 'source') return source(localDetector.cidr.text);
    return `${localDetector.by} ${localDetector.by === 'interface' ? localDetector.name : localDetector.prefix}`;
  };
  const ONLY_V6 = NODE_OPTIONS.clusterCIDRs.filter(({ family }) => family === 'IPv6');
  it.each([
    ['ClusterCIDR', {}, source('10.200.0.0/16'), source('fd20::/48')],
    [
      'ClusterCIDR, the other family first',
      { clusterCIDRs: NODE_OPTIONS.clusterCIDRs.toReversed() },
      source('10.200.0.0/16'),
      source('fd20::/48'),
    ],
    ['ClusterCIDR, one family', { clusterCIDRs: ONLY_V6 }, undefined, source('fd20::/48')],
    ['ClusterCIDR, none', { clusterCIDRs: [] }, undefined, undefined],
    ['NodeCIDR', { detectLocalMode: 'NodeCIDR' }, source('10.200.0.0/24'), source('fd20:0:0:1::/64')],
    [
      'BridgeInterface',
      { detectLocalMode: 'BridgeInterface', bridgeInterface: 'cni0' },
      'interface cni0',
      'interface cni0',
    ],
    [
      'InterfaceNamePrefix',
      { detectLocalMode: 'InterfaceNamePrefix', interfaceNamePrefix: 'veth' },
      'interface-prefix veth',
      'interface-prefix veth',
    ],
  ] as const)('%s', (_, options, ipv4, ipv6) => {
    expect([shown(context(options)), shown(context(options, DUAL, 'IPv6'))]).toEqual([ipv4, ipv6]);
  });

  it('NodeCIDR of a node that has none yet: not at all', () => {
    const facts = readNode(nodeObject({ spec: {} }));
    expect(shown(context({ detectLocalMode: 'NodeCIDR' }, facts))).toBeUndefined();
  });
});

describe('addresses on which NodePorts answer', () => {
  it.each([
    ['unset: all', [], 'all', 'all'],
    ['one CIDR in each family', ['10.250.0.0/24', 'fd50::/64'], ['10.250.0.1'], ['fd50::1']],
    ['several CIDRs', ['10.250.0.0/24', '10.250.1.0/24', '10.250.0.1/32'], ['10.250.0.1', '10.250.1.1'], 'all'],
    // D23
    ['one family only: all of the other', ['fd50::/64'], 'all', ['fd50::1']],
    // D24
    ['a CIDR that is everything', ['10.250.0.0/24', '0.0.0.0/0', 'fd50::/64'], 'all', ['fd50::1']],
    // D25
    ['no interface has any', ['192.0.2.0/24', 'fd99::/64'], [], []],
    ['loopback never', ['127.0.0.0/8', '::1/128'], [], []],
    ['primary', ['primary'], ['10.250.0.1'], ['fd50::1']],
  ] as const)('%s', (_, nodePortAddresses, ipv4, ipv6) => {
    expect(context({ nodePortAddresses }).nodePortAddresses).toEqual(ipv4);
    expect(context({ nodePortAddresses }, DUAL, 'IPv6').nodePortAddresses).toEqual(ipv6);
  });

  it.each([
    // kube-proxy opens all addresses of the family here
    ['a node without an address of the family', undefined, node(['InternalIP', 'fd50::1'])],
    ['an address that is loopback', '127.0.0.1', DUAL],
  ])('primary, with %s: none', (_, bindAddress, facts) => {
    expect(context({ nodePortAddresses: ['primary'], bindAddress }, facts).nodePortAddresses).toEqual([]);
  });

  it('do not depend on the order in which interfaces are listed, or on repetition', () => {
    const options = { ...NODE_OPTIONS, nodePortAddresses: ['10.250.0.0/16'] };
    const listed = nodeContext(options, DUAL, 'IPv4', ['10.250.1.1', '10.250.0.1', '10.250.1.1']);
    expect(listed.nodePortAddresses).toEqual(['10.250.0.1', '10.250.1.1']);
  });
});

describe('NodePorts on loopback', () => {
  it.each([
    ['all addresses', [], true],
    ['one address', ['10.250.0.0/24'], false],
    ['one address, and loopback', ['10.250.0.0/24', '127.0.0.0/8'], true],
    ['the address of loopback itself', ['127.0.0.1/32'], true],
    ['another one', ['127.0.0.2/32'], false],
    ['a CIDR that is everything', ['10.250.0.0/24', '0.0.0.0/0'], true],
    ['the other family only', ['fd50::/64'], true],
    ['loopback of the other family', ['10.250.0.0/24', '::1/128'], false],
    ['primary', ['primary'], false],
  ] as const)('with %s', (_, nodePortAddresses, expected) => {
    const options = { nodePortAddresses, localhostNodePorts: true };
    expect(context(options).nodePortsOnLoopback).toBe(expected);
    expect(context(options, DUAL, 'IPv6').nodePortsOnLoopback).toBe(false);
    expect(context({ nodePortAddresses }).nodePortsOnLoopback).toBe(false);
  });

  it('do not depend on what the interfaces are said to have', () => {
    const options = { ...NODE_OPTIONS, localhostNodePorts: true, nodePortAddresses: ['127.0.0.0/8'] };
    expect(nodeContext(options, DUAL, 'IPv4', []).nodePortsOnLoopback).toBe(true);
  });
});

describe('a context', () => {
  it('has the options as they are, and the mark as a number', () => {
    expect(context({ masqueradeBit: 31, masqueradeAll: true, dropInvalid: false })).toMatchObject({
      name: 'node1',
      family: 'IPv4',
      zone: 'za',
      masqueradeMark: 2 ** 31,
      masqueradeAll: true,
      dropInvalid: false,
    });
  });

  it('without a Node knows no zone', () => {
    expect(nodeContext(NODE_OPTIONS, undefined, 'IPv4', [])).toMatchObject({ zone: '', nodeIP: undefined });
  });
});

describe('what the Node object lacks', () => {
  const NO_CIDR = readNode(nodeObject({ spec: {} }));
  const BARE = node();
  const PRIMARY = { nodePortAddresses: ['primary'] };
  const BY_CIDR = { detectLocalMode: 'NodeCIDR' } as const;
  const whats = (options: Partial<NodeOptions>, read: NodeFacts | undefined, facts = read): readonly string[] =>
    missingFacts({ ...NODE_OPTIONS, ...options }, read, facts).map(({ what }) => what);

  it.each([
    ['nothing by default', {}, BARE, []],
    ['the whole of it', {}, undefined, ['Node node1']],
    ['nothing with a pod CIDR', BY_CIDR, DUAL, []],
    ['the pod CIDR', BY_CIDR, NO_CIDR, ['podCIDR of Node node1']],
    ['nothing with an address', PRIMARY, DUAL, []],
    ['the addresses', PRIMARY, BARE, ['addresses of Node node1']],
    ['nothing with an address from elsewhere', { ...PRIMARY, bindAddress: '10.250.0.9' }, BARE, []],
    ['both', { ...PRIMARY, ...BY_CIDR }, undefined, ['Node node1', 'podCIDR of Node node1', 'addresses of Node node1']],
  ] as const)('is %s', (_, options, read, expected) => {
    expect(whats(options, read)).toEqual(expected);
  });

  it('stays what its predecessor had', () => {
    const facts = withFormer(node(), DUAL);
    expect(facts).toEqual({ ...node(), podCIDRs: DUAL.podCIDRs, addresses: DUAL.addresses });
    expect(missingFacts({ ...NODE_OPTIONS, ...PRIMARY }, node(), facts)[0]?.why).toContain(
      'the last ones stay: 10.250.0.1',
    );
    expect(withFormer(DUAL, node())).toEqual(DUAL);
  });

  it('is worth a wait where it is the pod CIDR', () => {
    const awaited = 'Node node1 has no podCIDR yet (--detect-local-mode=NodeCIDR needs it)';
    expect(factsAwaited({ ...NODE_OPTIONS, ...BY_CIDR }, undefined)).toBe(awaited);
    expect(factsAwaited({ ...NODE_OPTIONS, ...BY_CIDR }, NO_CIDR)).toBe(awaited);
    expect(factsAwaited({ ...NODE_OPTIONS, ...BY_CIDR }, DUAL)).toBeUndefined();
    expect(factsAwaited({ ...NODE_OPTIONS, ...PRIMARY }, undefined)).toBeUndefined();
  });
});
