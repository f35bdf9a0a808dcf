import { describe, expect, it } from 'vitest';
import { compile } from '../../../src/backends/iptables/compile.ts';
import { frontendObjects } from '../../../src/backends/iptables/frontends.ts';
import { parseCIDR } from '../../../src/model/address.ts';
import { frontendsOf } from '../../../src/model/frontend.ts';
import type { ServicePort } from '../../../src/model/service.ts';
import type { ServiceEndpoints } from '../../../src/model/topology.ts';
import { LOCAL, nodeOf, Tree } from './dispatching.ts';
import { type ServiceDraft, serviceOf } from './services.ts';
import { Walker } from './walker.ts';

const DRAFT: ServiceDraft = {
  protocol: 'TCP',
  endpoints: 'elsewhere',
  isExternal: false,
  isLocal: false,
  hasNodePort: false,
  ranges: 'open',
};

const withPort = (fields: Partial<ServicePort>): ServiceEndpoints => {
  const service = serviceOf(DRAFT, 1, 'IPv4');
  return { ...service, port: { ...service.port, ...fields } };
};

const frontends = (service: ServiceEndpoints) => frontendObjects(service, frontendsOf(service, nodeOf('IPv4')));

const linesOf = (service: ServiceEndpoints): readonly string[] =>
  frontends(service).flatMap(({ lines }) =>
    lines.map(({ table, chain, rule }) => `${table} ${chain} ${rule.replace(/.* -j /, '')}`),
  );

describe('one address of a service port', () => {
  const CLUSTER_IP = '10.96.0.1';
  const VIP = '203.0.113.1';

  it('is one frontend though it is in several lists', () => {
    const service = withPort({ externalIPs: [VIP, CLUSTER_IP], loadBalancerVIPs: [CLUSTER_IP, VIP], nodePort: 30_001 });
    const ids = frontends(service).map(({ id }) => id);
    expect(ids).toEqual(['frontend 10.96.0.1 tcp 80', 'frontend 203.0.113.1 tcp 80', 'node-port tcp 30001']);
  });

  it('is the cluster’s first of all: pods are not masqueraded on their way there', () => {
    const [first] = linesOf(withPort({ externalIPs: [CLUSTER_IP] }));
    expect(first).toMatch(/^nat KUBE-SERVICES KUBE-SVC-/);
  });

  it('is guarded by the source ranges though it is an external IP too', () => {
    const range = parseCIDR('192.0.2.0/24');
    const service = withPort({
      externalIPs: [VIP],
      loadBalancerVIPs: [VIP],
      sourceRanges: range === undefined ? [] : [range],
    });
    const tree = new Tree('IPv4');
    tree.state.stage('web', compile(service, nodeOf('IPv4')));
    const walker = new Walker(tree.objects, [LOCAL.IPv4]);
    const from = (source: string): readonly string[] =>
      walker.walk({ source, destination: VIP, protocol: 'tcp', port: 80, inInterface: 'eth0' }).outcomes;
    expect(from('192.0.2.7')).toEqual(['10.200.0.1:8080 +m']);
    expect(from('198.51.100.7')).toEqual(['drop']);
  });
});

describe('a service port with nobody to lead to', () => {
  const EVERY_WAY = { externalIPs: ['198.51.100.1'], loadBalancerVIPs: ['203.0.113.1'], nodePort: 30_001 };

  it('is refused everywhere when it has no endpoint at all', () => {
    const service = { ...withPort(EVERY_WAY), cluster: [], reachable: [], hasAny: false };
    const refusal = 'REJECT --reject-with icmp-port-unreachable';
    expect(linesOf(service)).toEqual([
      `filter KUBE-SERVICES ${refusal}`,
      ...Array.from({ length: 3 }, () => `filter KUBE-EXTERNAL-SERVICES ${refusal}`),
    ]);
  });

  it('drops what the policy admits to no endpoint of this node, and still lets pods through', () => {
    const lines = linesOf(withPort({ ...EVERY_WAY, externalPolicyLocal: true }));
    expect(lines.filter((line) => line.startsWith('filter'))).toEqual(
      Array.from({ length: 3 }, () => 'filter KUBE-EXTERNAL-SERVICES DROP'),
    );
    expect(lines.filter((line) => line.startsWith('nat'))).toHaveLength(4);
  });

  it('drops inside the cluster where the internal policy finds nobody', () => {
    expect(linesOf(withPort({ internalPolicyLocal: true }))).toEqual(['filter KUBE-SERVICES DROP']);
  });
});
