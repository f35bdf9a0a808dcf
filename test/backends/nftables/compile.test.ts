/** One service port to elements, and the chains of its classes. */
import { describe, expect, it } from 'vitest';
import { compile } from '../../../src/backends/nftables/compile.ts';
import type { ServicePort } from '../../../src/model/service.ts';
import { by, nodeOf, tcp, withLocal } from '../ipvs/world.ts';
import { about, elementsOf, HERE, linesOf, NODE, ranges, THERE, VIP, web } from './compiled.ts';

describe('a ClusterIP', () => {
  it('has a slot for each endpoint, and a chain for their number', () => {
    expect(linesOf(web([HERE, THERE]))).toEqual([
      'cluster-ips { 10.96.0.1 }',
      'service-ips { 10.96.0.1 . tcp . 80 : goto pick-2 }',
      `endpoints { 10.96.0.1 . tcp . 80 . 0 : ${HERE} . 8080 }`,
      `endpoints { 10.96.0.1 . tcp . 80 . 1 : ${THERE} . 8080 }`,
      'pick-2: dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 map @endpoints',
    ]);
  });

  it('without endpoints refuses, and is a ClusterIP all the same', () => {
    expect(linesOf(web([]))).toEqual([
      'cluster-ips { 10.96.0.1 }',
      'no-endpoint-services { 10.96.0.1 . tcp . 80 : goto reject-chain }',
    ]);
  });

  it.each(['UDP', 'SCTP'] as const)('by %s is another frontend', (protocol) => {
    expect(elementsOf(by(protocol, web([HERE])))).toContain(
      `service-ips { 10.96.0.1 . ${protocol.toLowerCase()} . 80 : goto pick-1 }`,
    );
  });

  it('under internal policy Local serves this node’s endpoints', () => {
    const local = withLocal(web([HERE, THERE], { internalPolicyLocal: true }), [HERE]);
    expect(elementsOf(local)).toEqual([
      'cluster-ips { 10.96.0.1 }',
      'service-ips { 10.96.0.1 . tcp . 80 : goto pick-1 }',
      `endpoints { 10.96.0.1 . tcp . 80 . 0 : ${HERE} . 8080 }`,
      `hairpin-connections { ${HERE} . ${HERE} . tcp . 8080 }`,
    ]);
  });

  it('under internal policy Local drops where this node has none, and refuses where nobody has', () => {
    const local = web([THERE], { internalPolicyLocal: true });
    expect(elementsOf(local)).toEqual([
      'cluster-ips { 10.96.0.1 }',
      'no-endpoint-services { 10.96.0.1 . tcp . 80 : drop }',
    ]);
    expect(elementsOf(web([], { internalPolicyLocal: true }))).toContain(
      'no-endpoint-services { 10.96.0.1 . tcp . 80 : goto reject-chain }',
    );
  });

  it('under internal policy Local does not narrow what comes from outside', () => {
    const local = withLocal(web([HERE, THERE], { internalPolicyLocal: true, nodePort: 30_001 }), [HERE]);
    expect(about(elementsOf(local), 'tcp . 30001')).toEqual([
      'service-nodeports { tcp . 30001 : goto nodeport-external-pick-2 }',
      `nodeport-endpoints { tcp . 30001 . 0 : ${HERE} . 8080 }`,
      `nodeport-endpoints { tcp . 30001 . 1 : ${THERE} . 8080 }`,
    ]);
  });

  it('of IPv6 has IPv6 rules', () => {
    const service = tcp('web', 'fd96::1', ['fd20::1']);
    expect(linesOf({ ...service, port: { ...service.port, family: 'IPv6' } }, nodeOf('IPv6'))).toEqual([
      'cluster-ips { fd96::1 }',
      'service-ips { fd96::1 . tcp . 80 : goto pick-1 }',
      'endpoints { fd96::1 . tcp . 80 . 0 : fd20::1 . 8080 }',
      'pick-1: dnat ip6 to ip6 daddr . meta l4proto . th dport . numgen random mod 1 map @endpoints',
    ]);
  });
});

describe('hairpin', () => {
  it('is for endpoints of this node, wherever they are reached from', () => {
    const service = withLocal(by('UDP', web([HERE, THERE])), [HERE]);
    expect(about(elementsOf(service), 'hairpin')).toEqual([`hairpin-connections { ${HERE} . ${HERE} . udp . 8080 }`]);
  });
});

describe('addresses outside', () => {
  it('mark what they let in, each at its own address', () => {
    const lines = linesOf(web([HERE], { nodePort: 30_001, externalIPs: ['192.0.2.7'], loadBalancerVIPs: [VIP] }));
    for (const ip of ['192.0.2.7', VIP]) {
      expect(about(lines, ip)).toEqual([
        `service-ips { ${ip} . tcp . 80 : goto external-pick-1 }`,
        `endpoints { ${ip} . tcp . 80 . 0 : ${HERE} . 8080 }`,
      ]);
    }
    expect(about(lines, 'external-pick-1:')).toEqual([
      'external-pick-1: meta mark set meta mark | 0x4000',
      'external-pick-1: goto pick-1',
      'nodeport-external-pick-1: meta mark set meta mark | 0x4000',
      'nodeport-external-pick-1: goto nodeport-pick-1',
    ]);
    expect(lines).toContain(
      'nodeport-pick-1: dnat ip to meta l4proto . th dport . numgen random mod 1 map @nodeport-endpoints',
    );
  });

  it('mark with the bit that the node has', () => {
    const lines = linesOf(web([HERE], { nodePort: 30_001 }), nodeOf('IPv4', { masqueradeMark: 8 }));
    expect(lines).toContain('nodeport-external-pick-1: meta mark set meta mark | 0x8');
  });

  it('that are the ClusterIP too are the ClusterIP alone; an external IP that is the balancer’s is guarded as such', () => {
    const port = {
      externalIPs: ['10.96.0.1', VIP],
      loadBalancerVIPs: [VIP, '10.96.0.1'],
      sourceRanges: ranges('10.0.0.0/8'),
    };
    const lines = elementsOf(web([HERE], port));
    expect(about(lines, 'service-ips')).toEqual([
      'service-ips { 10.96.0.1 . tcp . 80 : goto pick-1 }',
      `service-ips { ${VIP} . tcp . 80 : goto external-pick-1 }`,
    ]);
    expect(about(lines, 'firewall')).toEqual([`firewall-ips { ${VIP} . tcp . 80 : goto firewall }`]);
    expect(about(lines, ' endpoints')).toHaveLength(0);
    expect(lines.filter((line) => line.startsWith('endpoints'))).toHaveLength(2);
  });

  it('without endpoints refuse', () => {
    const lines = elementsOf(web([], { nodePort: 30_001, externalIPs: ['192.0.2.7'], loadBalancerVIPs: [VIP] }));
    expect(lines).toEqual([
      'cluster-ips { 10.96.0.1 }',
      ...['10.96.0.1', '192.0.2.7', VIP].map((ip) => `no-endpoint-services { ${ip} . tcp . 80 : goto reject-chain }`),
      'no-endpoint-nodeports { tcp . 30001 : goto reject-chain }',
    ]);
  });
});

describe('external policy Local', () => {
  const port = { externalPolicyLocal: true, nodePort: 30_001, loadBalancerVIPs: [VIP] };

  it('leads those inside to all endpoints, and the others to those of this node', () => {
    const lines = elementsOf(withLocal(web([HERE, THERE], port), [HERE]));
    expect(about(lines, VIP)).toEqual([
      `service-ips { ${VIP} . tcp . 80 : goto policy-local }`,
      `inside-ips { ${VIP} . tcp . 80 : goto pick-2 }`,
      `local-ips { ${VIP} . tcp . 80 : goto local-pick-1 }`,
      `endpoints { ${VIP} . tcp . 80 . 0 : ${HERE} . 8080 }`,
      `endpoints { ${VIP} . tcp . 80 . 1 : ${THERE} . 8080 }`,
      `local-endpoints { ${VIP} . tcp . 80 . 0 : ${HERE} . 8080 }`,
    ]);
    expect(about(lines, '30001')).toEqual([
      'service-nodeports { tcp . 30001 : goto nodeport-policy-local }',
      'inside-nodeports { tcp . 30001 : goto nodeport-pick-2 }',
      'local-nodeports { tcp . 30001 : goto nodeport-local-pick-1 }',
      `nodeport-endpoints { tcp . 30001 . 0 : ${HERE} . 8080 }`,
      `nodeport-endpoints { tcp . 30001 . 1 : ${THERE} . 8080 }`,
      `local-nodeport-endpoints { tcp . 30001 . 0 : ${HERE} . 8080 }`,
    ]);
    expect(about(lines, 'no-endpoint')).toEqual([]);
  });

  it('without an endpoint here leads those inside on, and drops the others', () => {
    const lines = elementsOf(web([THERE], port));
    expect(about(lines, VIP)).toEqual([
      `service-ips { ${VIP} . tcp . 80 : goto policy-local }`,
      `inside-ips { ${VIP} . tcp . 80 : goto pick-1 }`,
      `no-endpoint-services { ${VIP} . tcp . 80 : drop }`,
      `endpoints { ${VIP} . tcp . 80 . 0 : ${THERE} . 8080 }`,
    ]);
  });

  it('without any endpoint refuses everybody', () => {
    expect(about(elementsOf(web([], port)), VIP)).toEqual([
      `no-endpoint-services { ${VIP} . tcp . 80 : goto reject-chain }`,
    ]);
  });
});

describe('comments', () => {
  const commentOf = (name: Partial<ServicePort['name']>): string => {
    const plain = web([HERE]);
    const service = { ...plain, port: { ...plain.port, name: { ...plain.port.name, ...name } } };
    const text = JSON.stringify(compile(service, NODE).objects.find(({ kind }) => kind === 'frontend'));
    return String((/"comment":("(?:[^"\\]|\\.)*")/.exec(text)?.[1] ?? '""').slice(1, -1));
  };

  it('say whose element it is', () => {
    expect(commentOf({})).toBe('ns/web:p');
    expect(commentOf({ port: '' })).toBe('ns/web');
  });

  it('hold nothing that would end them, and nothing that is no plain character', () => {
    expect(commentOf({ name: 'a"; flush ruleset\\\n\u0000ü' })).toBe('ns/a?; flush ruleset????:p');
  });

  it('are as long as the kernel keeps', () => {
    expect(commentOf({ name: 'x'.repeat(300) })).toBe(`ns/${'x'.repeat(124)}`);
    expect(commentOf({ name: 'ü'.repeat(300) })).toHaveLength(127);
  });
});

it('what a Service wants does not depend on how often it is asked, and has each object once', () => {
  const service = withLocal(
    web([HERE, THERE], { affinitySeconds: 60, nodePort: 30_001, externalIPs: ['192.0.2.7'], loadBalancerVIPs: [VIP] }),
    [HERE],
  );
  const ids = compile(service, NODE).objects.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(compile(service, NODE)).toEqual(compile(service, NODE));
  expect(compile(service, NODE)).toMatchObject({ owner: 'ns/web:p/TCP', since: 1 });
});
