import { describe, expect, it } from 'vitest';
import type { IPFamily } from '../../src/model/address.ts';
import {
  formatServicePortName,
  isExternallyAccessible,
  isPortOf,
  ownerOf,
  readService,
  type ServicePort,
} from '../../src/model/service.ts';
import { type Fields, portOf, serviceObject } from './objects.ts';

const read = (spec: Fields, ingress: readonly Fields[] = [], family: IPFamily = 'IPv4'): ServicePort =>
  portOf(serviceObject('ns/web', spec, ingress), family);

const DUAL = { clusterIP: '10.96.0.10', clusterIPs: ['10.96.0.10', 'fd96::10'] };
const BALANCER = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 };

describe('a Service that is not proxied', () => {
  it.each([
    // L3
    ['headless', { clusterIP: 'None', clusterIPs: ['None'] }, 'it is headless (clusterIP: None)'],
    ['headless without ports', { clusterIP: 'None', ports: [] }, 'it is headless'],
    ['headless with an SCTP port', { clusterIP: 'None', ports: [{ port: 1, protocol: 'SCTP' }] }, 'it is headless'],
    ['ExternalName with a ClusterIP', { type: 'ExternalName', clusterIP: '10.96.0.1' }, 'it is an ExternalName'],
    [
      'ExternalName',
      { type: 'ExternalName', clusterIP: undefined, externalName: 'example.org', ports: undefined },
      'it is an ExternalName',
    ],
    ['without a ClusterIP yet', { clusterIP: '' }, 'it has no ClusterIP yet'],
    ['whose ClusterIP is null', { clusterIP: null }, 'it has no ClusterIP yet'],
    ['without a spec', undefined, 'it has no ClusterIP yet'],
  ])('%s', (_, spec, why) => {
    const object = spec === undefined ? { metadata: { namespace: 'ns', name: 'web' } } : serviceObject('ns/web', spec);
    const { notProxied, ...service } = readService(object);
    expect(service).toEqual({ namespace: 'ns', name: 'web', ports: { IPv4: [], IPv6: [] } });
    expect(notProxied).toContain(why);
  });
});

describe('an owner', () => {
  it.each([
    ['ns/web/TCP', true],
    ['ns/web:http/UDP', true],
    ['ns/web:/SCTP', true],
    ['ns/web-2/TCP', false],
    ['ns/we/TCP', false],
    ['other/ns/web/TCP', false],
    ['base', false],
  ])('%s is a port of ns/web: %s', (owner, expected) => {
    expect(isPortOf(owner, 'ns/web')).toBe(expected);
  });
});

describe('a Service', () => {
  it('has one service port for each of its ports, with the defaults of the API', () => {
    const ports = [
      { name: 'http', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP', nodePort: 30_053, targetPort: 'dns' },
      { name: 'dns', port: 53, protocol: 'SCTP', nodePort: 0 },
    ];
    const { ports: byFamily } = readService(serviceObject('ns/web', { ports }));
    expect(byFamily.IPv4.map(({ name, port, nodePort }) => [ownerOf(name), port, nodePort])).toEqual([
      ['ns/web:http/TCP', 80, 0],
      ['ns/web:dns/UDP', 53, 30_053],
      ['ns/web:dns/SCTP', 53, 0],
    ]);
    expect(byFamily.IPv6).toEqual([]);
  });

  it('is, with nothing said, open to everybody at its ClusterIP and balanced over the cluster', () => {
    expect(read({ ports: [{ port: 80 }] })).toEqual({
      name: { namespace: 'ns', name: 'web', port: '', protocol: 'TCP' },
      family: 'IPv4',
      clusterIP: '10.96.0.10',
      port: 80,
      nodePort: 0,
      externalIPs: [],
      loadBalancerVIPs: [],
      sourceRanges: undefined,
      affinitySeconds: 0,
      internalPolicyLocal: false,
      externalPolicyLocal: false,
      healthCheckNodePort: 0,
      scheduler: undefined,
      createdAt: 0,
    });
  });

  it('may leave fields null, as YAML does that names a key and nothing more', () => {
    const ports = [{ port: 80, name: null, protocol: null, nodePort: null }];
    const nothing = { externalIPs: null, loadBalancerSourceRanges: null, sessionAffinityConfig: null };
    expect(read({ clusterIPs: null, ports, ...nothing, healthCheckNodePort: null })).toEqual(
      read({ ports: [{ port: 80 }] }),
    );
  });

  it.each([
    ['', 'TCP', 'ns/web', 'ns/web/TCP'],
    ['p', 'UDP', 'ns/web:p', 'ns/web:p/UDP'],
  ] as const)('calls its port "%s" over %s %s', (port, protocol, name, owner) => {
    const full = { namespace: 'ns', name: 'web', port, protocol };
    expect(formatServicePortName(full)).toBe(name);
    expect(ownerOf(full)).toBe(owner);
  });

  it('remembers when it was created and which scheduler it asks for', () => {
    const object = serviceObject('ns/web');
    const annotations = { 'pointsman.dev/ipvs-scheduler': 'lc' };
    const metadata = { namespace: 'ns', name: 'web', creationTimestamp: '2026-01-02T03:04:05Z', annotations };
    expect(portOf({ ...object, metadata })).toMatchObject({
      createdAt: Date.UTC(2026, 0, 2, 3, 4, 5),
      scheduler: 'lc',
    });
  });
});

describe('an IP family', () => {
  it.each([
    // L5
    ['IPv4 only', { clusterIP: '10.96.0.10' }, '10.96.0.10', undefined],
    ['IPv6 only', { clusterIP: 'fd96::10', clusterIPs: ['fd96::10'] }, undefined, 'fd96::10'],
    ['dual stack', DUAL, '10.96.0.10', 'fd96::10'],
    [
      'dual stack, IPv6 first',
      { clusterIP: 'fd96::10', clusterIPs: ['fd96::10', '10.96.0.10'] },
      '10.96.0.10',
      'fd96::10',
    ],
    // L7
    ['leading zeros', { clusterIP: '172.30.0.041' }, '172.30.0.41', undefined],
    ['an unusual spelling', { clusterIP: 'FD96:0::0010' }, undefined, 'fd96::10'],
  ])('%s', (_, spec, ipv4, ipv6) => {
    const { ports } = readService(serviceObject('ns/web', spec));
    expect(ports.IPv4.map(({ clusterIP }) => clusterIP)).toEqual(ipv4 === undefined ? [] : [ipv4]);
    expect(ports.IPv6.map(({ clusterIP }) => clusterIP)).toEqual(ipv6 === undefined ? [] : [ipv6]);
  });

  it('keeps only what is its own of ranges, external IPs and VIPs (C16)', () => {
    const spec = {
      ...DUAL,
      externalIPs: ['198.51.100.7', 'fd98::7', '198.51.100.007', 'not an address', ''],
      loadBalancerSourceRanges: ['192.168.0.0/24', 'fd00::/8'],
    };
    const ingress = [{ ip: '203.0.113.7' }, { ip: 'fd99::7' }, { ip: '' }];
    for (const family of ['IPv4', 'IPv6'] as const) {
      const { externalIPs, loadBalancerVIPs, sourceRanges } = read(spec, ingress, family);
      const isIPv4 = family === 'IPv4';
      expect(externalIPs).toEqual([isIPv4 ? '198.51.100.7' : 'fd98::7']);
      expect(loadBalancerVIPs).toEqual([isIPv4 ? '203.0.113.7' : 'fd99::7']);
      expect(sourceRanges?.map(({ text }) => text)).toEqual([isIPv4 ? '192.168.0.0/24' : 'fd00::/8']);
    }
  });
});

describe('source ranges', () => {
  it.each([
    ['no list', undefined, undefined, undefined],
    ['an empty list', [], undefined, undefined],
    // C15
    ['blanks', ['192.168.0.0/24', ' 203.0.113.0/25'], ['192.168.0.0/24', '203.0.113.0/25'], []],
    ['an odd spelling', ['203.0.113.000/025'], ['203.0.113.0/25'], []],
    ['a range that is everything', ['10.0.0.0/8', '0.0.0.0/0'], undefined, []],
    ['everything in both families', ['0.0.0.0/0', '::/0'], undefined, undefined],
    // kube-proxy leaves a family open that the list does not mention; here it is closed
    ['one family only', ['10.0.0.0/8'], ['10.0.0.0/8'], []],
    ['some that cannot be read', ['nonsense', 7, '10.0.0.0/8'], ['10.0.0.0/8'], []],
    ['nothing that can be read', ['nonsense', '10.0.0.1'], [], []],
  ])('%s', (_, loadBalancerSourceRanges, ipv4, ipv6) => {
    const spec = { ...DUAL, loadBalancerSourceRanges };
    expect(read(spec).sourceRanges?.map(({ text }) => text)).toEqual(ipv4);
    expect(read(spec, [], 'IPv6').sourceRanges?.map(({ text }) => text)).toEqual(ipv6);
  });
});

describe('a load balancer’s address', () => {
  it.each([
    // L6
    ['ipMode unset', [{ ip: '203.0.113.7' }], ['203.0.113.7']],
    ['ipMode null', [{ ip: '203.0.113.7', ipMode: null }], ['203.0.113.7']],
    ['ipMode VIP', [{ ip: '203.0.113.7', ipMode: 'VIP' }], ['203.0.113.7']],
    ['ipMode Proxy', [{ ip: '203.0.113.7', ipMode: 'Proxy' }], []],
    ['one of each', [{ ip: '203.0.113.7', ipMode: 'Proxy' }, { ip: '203.0.113.8' }], ['203.0.113.8']],
    ['a host name only', [{ hostname: 'lb.example.org' }], []],
    ['the same twice', [{ ip: '203.0.113.7' }, { ip: '203.000.113.7' }], ['203.0.113.7']],
    ['none yet', [], []],
  ])('%s', (_, ingress, vips) => {
    expect(read({ type: 'LoadBalancer' }, ingress).loadBalancerVIPs).toEqual(vips);
  });
});

describe('traffic policies', () => {
  it.each([
    ['LoadBalancer', true, { type: 'LoadBalancer' }],
    ['NodePort', true, { type: 'NodePort' }],
    ['ClusterIP', false, {}],
    ['ClusterIP with an external IP', true, { externalIPs: ['198.51.100.7'] }],
    // kube-proxy looks at the raw list too
    ['ClusterIP with an external IP of the other family', true, { externalIPs: ['fd98::7'] }],
    ['LoadBalancer with policy Cluster', false, { type: 'LoadBalancer', externalTrafficPolicy: 'Cluster' }],
  ])('external Local counts for %s: %s', (_, expected, spec) => {
    expect(read({ externalTrafficPolicy: 'Local', ...spec }).externalPolicyLocal).toBe(expected);
  });

  it.each([
    ['Local', true],
    ['Cluster', false],
    [undefined, false],
  ])('internal %s', (internalTrafficPolicy, expected) => {
    expect(read({ internalTrafficPolicy }).internalPolicyLocal).toBe(expected);
  });

  it.each([
    ['LoadBalancer, external Local', BALANCER, 32_000],
    ['LoadBalancer, external Cluster', { ...BALANCER, externalTrafficPolicy: 'Cluster' }, 0],
    ['NodePort, external Local', { ...BALANCER, type: 'NodePort' }, 0],
    ['LoadBalancer that has none', { ...BALANCER, healthCheckNodePort: 0 }, 0],
  ])('a health-check port is opened for %s', (_, spec, expected) => {
    expect(read(spec).healthCheckNodePort).toBe(expected);
  });
});

describe('session affinity', () => {
  it.each([
    ['None', { sessionAffinity: 'None', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }, 0],
    ['ClientIP', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }, 5],
    ['ClientIP with the default time-out', { sessionAffinity: 'ClientIP' }, 10_800],
    ['ClientIP with an empty config', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: {} } }, 10_800],
  ])('%s', (_, spec, seconds) => {
    expect(read(spec).affinitySeconds).toBe(seconds);
  });
});

describe('from outside a service port', () => {
  it.each([
    ['is not reachable at its ClusterIP', {}, [], false],
    ['is reachable at a node port', { ports: [{ port: 80, nodePort: 30_080 }] }, [], true],
    ['is reachable at an external IP', { externalIPs: ['198.51.100.7'] }, [], true],
    ['is reachable at a VIP', {}, [{ ip: '203.0.113.7' }], true],
    ['is not reachable at a balancer that proxies', {}, [{ ip: '203.0.113.7', ipMode: 'Proxy' }], false],
  ])('%s', (_, spec, ingress, expected) => {
    expect(isExternallyAccessible(read(spec, ingress))).toBe(expected);
  });
});
