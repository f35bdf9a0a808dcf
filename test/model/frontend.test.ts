/** Frontends of a service port: which addresses there are, and what callers meet there. */
import { describe, expect, it } from 'vitest';
import { parseCIDR } from '../../src/model/address.ts';
import { frontendAddresses, frontendsOf } from '../../src/model/frontend.ts';
import type { NodeContext } from '../../src/model/node.ts';
import type { ServicePort } from '../../src/model/service.ts';
import type { ServiceEndpoints } from '../../src/model/topology.ts';
import { nodeOf } from '../backends/iptables/dispatching.ts';
import { type ServiceDraft, serviceOf } from '../backends/iptables/services.ts';

const CLUSTER_IP = '10.96.0.1';
const VIP = '203.0.113.1';
const NODE: NodeContext = {
  ...nodeOf('IPv4'),
  nodeIP: '10.250.0.1',
  localDetector: { by: 'interface', name: 'cni0' },
};
const DRAFT: ServiceDraft = {
  protocol: 'TCP',
  endpoints: 'elsewhere',
  isExternal: true,
  isLocal: false,
  hasNodePort: true,
  ranges: 'open',
};

const serviceWith = (fields: Partial<ServicePort>, draft: Partial<ServiceDraft> = {}): ServiceEndpoints => {
  const service = serviceOf({ ...DRAFT, ...draft }, 1, 'IPv4');
  return { ...service, port: { ...service.port, ...fields } };
};

const cidr = (text: string) => {
  const parsed = parseCIDR(text);
  if (parsed === undefined) throw new Error(`${text} is no CIDR`);
  return parsed;
};

describe('addresses of a service port', () => {
  it('are listed once each: as ClusterIP, else as load-balancer IP, else as external IP', () => {
    const { port } = serviceWith({
      externalIPs: [VIP, CLUSTER_IP, '203.0.113.2'],
      loadBalancerVIPs: [CLUSTER_IP, VIP],
    });
    expect(frontendAddresses(port).map(({ kind, ip, port: number }) => [kind, ip, number])).toEqual([
      ['cluster-ip', CLUSTER_IP, 80],
      ['external-ip', '203.0.113.2', 80],
      ['load-balancer-ip', VIP, 80],
      ['node-port', undefined, 30_001],
    ]);
  });
});

describe('a call', () => {
  const choices = (service: ServiceEndpoints) =>
    frontendsOf(service, NODE).map(({ kind, inside, outside, masquerade }) => ({ kind, inside, outside, masquerade }));

  it('is refused everywhere without an endpoint, whatever the policies', () => {
    const service = serviceWith({ internalPolicyLocal: true }, { endpoints: 'none', isLocal: true });
    for (const { inside, outside } of choices(service)) expect([inside, outside]).toEqual(['refuse', 'refuse']);
  });

  it('from outside is dropped under policy Local without a local endpoint; others are served, and seen', () => {
    const service = serviceWith({}, { isLocal: true });
    const [, ...external] = choices(service);
    expect(external).toHaveLength(3);
    for (const { inside, outside, masquerade } of external)
      expect([inside, outside, masquerade]).toEqual([service.cluster, 'drop', 'never']);
  });

  it('to the ClusterIP is dropped for all under internal policy Local without a local endpoint', () => {
    const [internal] = choices(serviceWith({ internalPolicyLocal: true }));
    expect(internal).toMatchObject({ inside: 'drop', outside: 'drop' });
  });

  it.each([
    ['with --masquerade-all', { masqueradeAll: true }, 'always'],
    ['without a local detector', { localDetector: undefined }, 'never'],
    ['otherwise', {}, 'outsiders'],
  ] as const)('to the ClusterIP is masqueraded %s: %s', (_, node: Partial<NodeContext>, masquerade) => {
    const [internal, external] = frontendsOf(serviceWith({}), { ...NODE, ...node });
    expect([internal?.masquerade, external?.masquerade]).toEqual([masquerade, 'always']);
  });
});

describe('source ranges', () => {
  const sourcesAt = (ranges: readonly string[]) =>
    frontendsOf(serviceWith({ sourceRanges: ranges.map(cidr), loadBalancerVIPs: [VIP] }), NODE).map(
      ({ kind, sources }) => [kind, sources && { ...sources, ranges: sources.ranges.map(({ text }) => text) }],
    );

  it('guard load-balancer IPs alone', () => {
    expect(sourcesAt(['192.0.2.0/24'])).toEqual([
      ['cluster-ip', undefined],
      ['external-ip', undefined],
      ['load-balancer-ip', { ranges: ['192.0.2.0/24'], own: [] }],
      ['node-port', undefined],
    ]);
  });

  it('that admit the node admit the address that its own packets carry', () => {
    expect(sourcesAt(['10.250.0.0/24'])[2]).toEqual(['load-balancer-ip', { ranges: ['10.250.0.0/24'], own: [VIP] }]);
  });
});
