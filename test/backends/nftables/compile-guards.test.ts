/** What else an address may ask for: who may reach it, and who is remembered. */
import { describe, expect, it } from 'vitest';
import { compile } from '../../../src/backends/nftables/compile.ts';
import type { NodeContext } from '../../../src/model/node.ts';
import type { ServicePort } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { nodeOf, withLocal } from '../ipvs/world.ts';
import { about, elementsOf, HERE, linesOf, NODE, ranges, THERE, VIP, web } from './compiled.ts';

describe('source ranges', () => {
  const balancer = (sourceRanges: ServicePort['sourceRanges'], endpoints: readonly string[] = [HERE]) =>
    web(endpoints, { loadBalancerVIPs: [VIP, '203.0.113.8'], nodePort: 30_001, sourceRanges });
  const allowed = (service: ServiceEndpoints, node?: NodeContext): readonly string[] =>
    about(elementsOf(service, node), `source-ranges { ${VIP} `).map((line) =>
      line.slice(line.indexOf('80 . ') + 5, -2),
    );

  it('guard each balancer’s address and nothing else', () => {
    const lines = elementsOf(balancer(ranges('192.0.2.0/24')));
    expect(about(lines, 'firewall')).toEqual(
      [VIP, '203.0.113.8'].map((ip) => `firewall-ips { ${ip} . tcp . 80 : goto firewall }`),
    );
    expect(about(lines, 'source-ranges')).toEqual(
      [VIP, '203.0.113.8'].map((ip) => `source-ranges { ${ip} . tcp . 80 . 192.0.2.0/24 }`),
    );
  });

  it.each([
    ['networks as they are', ['192.0.2.0/24', '198.51.100.0/25'], ['192.0.2.0/24', '198.51.100.0/25']],
    ['a single address as such', ['192.0.2.9/32'], ['192.0.2.9']],
    [
      'of nested networks the outermost, of doubles one',
      ['192.0.2.0/24', '192.0.0.0/16', '192.0.2.9/32', '192.0.0.0/16'],
      ['192.0.0.0/16'],
    ],
    ['nobody', [], []],
  ])('hold %s', (_, texts, expected) => {
    expect(allowed(balancer(ranges(...texts)))).toEqual(expected);
    expect(about(elementsOf(balancer(ranges(...texts))), 'firewall-ips')).toHaveLength(2);
  });

  it('that have the node’s address allow the balancer’s own, which the node’s packets come from', () => {
    expect(allowed(balancer(ranges('10.250.0.0/24')))).toEqual(['10.250.0.0/24', VIP, '203.0.113.8']);
    expect(allowed(balancer(ranges('10.250.0.0/24', '203.0.113.0/29')))).toEqual([
      '10.250.0.0/24',
      '203.0.113.0/29',
      '203.0.113.8',
    ]);
    expect(allowed(balancer(ranges('10.250.0.0/24')), nodeOf('IPv4', { nodeIP: undefined }))).toEqual([
      '10.250.0.0/24',
    ]);
  });

  it('guard also where there is no endpoint: who may not ask is not told so', () => {
    expect(about(elementsOf(balancer(ranges('192.0.2.0/24'), [])), VIP)).toEqual([
      `no-endpoint-services { ${VIP} . tcp . 80 : goto reject-chain }`,
      `firewall-ips { ${VIP} . tcp . 80 : goto firewall }`,
      `source-ranges { ${VIP} . tcp . 80 . 192.0.2.0/24 }`,
    ]);
  });

  it('that are not there guard nothing', () => {
    expect(about(elementsOf(balancer(undefined)), 'firewall')).toEqual([]);
  });
});

describe('session affinity', () => {
  it('looks first, then picks; and each frontend lists whom it may remember', () => {
    const lines = linesOf(web([HERE, THERE], { affinitySeconds: 60, nodePort: 30_001 }));
    expect(about(lines, 'sticky-2:')).toEqual([
      'sticky-2: dnat ip to ip saddr . ip daddr . meta l4proto . th dport map @affinity',
      'sticky-2: goto pick-2',
      'nodeport-external-sticky-2: meta mark set meta mark | 0x4000',
      'nodeport-external-sticky-2: goto nodeport-sticky-2',
      'nodeport-sticky-2: dnat ip to ip saddr . ip daddr . meta l4proto . th dport map @affinity',
      'nodeport-sticky-2: goto nodeport-pick-2',
    ]);
    expect(lines.filter((line) => /^sticky-\S* \{/.test(line))).toEqual([
      'sticky-ips { 10.96.0.1 . tcp . 80 : goto remember-60 }',
      `sticky-endpoints { 10.96.0.1 . tcp . 80 . ${HERE} . 8080 }`,
      `sticky-endpoints { 10.96.0.1 . tcp . 80 . ${THERE} . 8080 }`,
      'sticky-nodeports { tcp . 30001 : goto remember-nodeport-60 }',
      `sticky-nodeport-endpoints { tcp . 30001 . ${HERE} . 8080 }`,
      `sticky-nodeport-endpoints { tcp . 30001 . ${THERE} . 8080 }`,
    ]);
  });

  it('renews behind translation, before masquerading, also where the node itself is the endpoint', () => {
    const lines = linesOf(web([HERE], { affinitySeconds: 60 }));
    const rule =
      'ct original ip daddr . meta l4proto . ct original proto-dst . ip daddr . th dport @sticky-endpoints ' +
      'update @affinity { ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst timeout 60s : ip daddr . th dport } return';
    expect(about(lines, 'update')).toEqual([`remember-60: ${rule}`]);
    const chains = compile(web([HERE], { affinitySeconds: 60 }), NODE).objects.flatMap((object) =>
      object.kind === 'chain' && object.declaration.hook !== undefined ? [object.declaration] : [],
    );
    expect(chains).toMatchObject([
      { name: 'affinity-input', type: 'nat', hook: 'input', prio: 99 },
      { name: 'affinity-postrouting', type: 'nat', hook: 'postrouting', prio: 99 },
    ]);
  });

  it('remembers under policy Local the endpoints of both kinds, each once', () => {
    const port = { affinitySeconds: 60, externalPolicyLocal: true, loadBalancerVIPs: [VIP] };
    const lines = elementsOf(withLocal(web([HERE, THERE], port), [HERE]));
    expect(about(lines, `sticky-endpoints { ${VIP}`)).toHaveLength(2);
    expect(about(lines, 'inside-ips')).toEqual([`inside-ips { ${VIP} . tcp . 80 : goto sticky-2 }`]);
    expect(about(lines, 'local-ips')).toEqual([`local-ips { ${VIP} . tcp . 80 : goto local-sticky-1 }`]);
  });

  it('is nothing where nobody serves', () => {
    expect(about(linesOf(web([], { affinitySeconds: 60 })), 'sticky')).toEqual([]);
  });
});
