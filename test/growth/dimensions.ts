/** What tenants, clients and machines have a say in: each makes a cluster in which that alone is so many. */

import { AFFINITY, declarations, TABLE } from '../../src/backends/nftables/names.ts';
import { concat } from '../../src/nftables-json/construct.ts';
import { SERVICE_LABEL } from '../model/objects.ts';
import type { KubernetesObject, Life } from './program.ts';

export interface World {
  readonly objects: readonly KubernetesObject[];
  /** Of the machine. */
  readonly addresses?: readonly string[];
  /** What clients did meanwhile. */
  readonly prepare?: (life: Life) => void;
  readonly flags?: Readonly<Record<string, string>>;
  /** The Service whose change is measured, where it is not the usual one. */
  readonly probed?: Probed;
}

export interface Probed {
  readonly service: KubernetesObject;
  /** One of its endpoints is another each time. */
  readonly slice: (version: number) => KubernetesObject;
}

type Fields = Readonly<Record<string, unknown>>;

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
const ip = (net: number, i: number): string => `10.${net}.${i >> 8}.${i & 255}`;

const PORT = { name: 'p', protocol: 'TCP' };

const service = (name: string, clusterIP: string, spec: Fields = {}, namespace = 'ns'): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace, name },
  spec: {
    type: 'ClusterIP',
    clusterIP,
    clusterIPs: [clusterIP],
    ipFamilies: ['IPv4'],
    ports: [{ ...PORT, port: 80, targetPort: 8080 }],
    ...spec,
  },
  status: { loadBalancer: {} },
});

const slice = (
  name: string,
  ips: readonly string[],
  number = 1,
  ports: readonly Fields[] = [{ ...PORT, port: 8080 }],
  namespace = 'ns',
): KubernetesObject => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { namespace, name: `${name}-${number}`.slice(-63), labels: { [SERVICE_LABEL]: name } },
  addressType: 'IPv4',
  ports,
  endpoints: ips.map((address) => ({
    addresses: [address],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: 'node2',
  })),
});

/** The Service whose change is measured; sticky ones remember their clients. */
const STICKY = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } };
const PROBED = 'probed';
const endpointsAt = (version: number): readonly string[] => [ip(199, version), ip(199, 201), ip(199, 202)];
export const USUAL: Probed = {
  service: service(PROBED, '10.97.0.1', STICKY),
  slice: (version) => slice(PROBED, endpointsAt(version)),
};

const others = (
  count: number,
  of: (i: number) => { readonly spec?: Fields; readonly ips?: readonly string[] },
): World => ({
  objects: range(count).flatMap((i) => {
    const { spec, ips } = of(i);
    return [service(`other-${i}`, ip(96, i + 1), spec), slice(`other-${i}`, ips ?? [ip(100, i + 1)])];
  }),
});

const withNodePort = (i: number) => ({
  type: 'NodePort',
  ports: [{ ...PORT, port: 80, targetPort: 8080, nodePort: 30_000 + i }],
});

/** A load balancer's IP that so many ranges may reach; all share one. */
const guarded = (name: string, clusterIP: string, ranges: number, more: Fields = {}): KubernetesObject => ({
  ...service(name, clusterIP, {
    type: 'LoadBalancer',
    loadBalancerSourceRanges: range(ranges).map((i) => `${ip(60, i)}/32`),
    ...more,
  }),
  status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
});

const manyPorts = (count: number) => ({
  ofService: range(count).map((i) => ({ name: `p${i}`, protocol: 'TCP', port: 1_000 + i, targetPort: 2_000 + i })),
  ofSlice: range(count).map((i) => ({ name: `p${i}`, protocol: 'TCP', port: 2_000 + i })),
});

export const DIMENSIONS: Readonly<Record<string, (count: number) => World>> = {
  Services: (count) => others(count, () => ({})),
  'endpoints of another Service': (count) => ({
    objects: [
      service('large', '10.96.0.1'),
      ...range(Math.ceil(count / 100)).map((i) =>
        slice(
          'large',
          range(Math.min(100, count)).map((j) => ip(100, i * 100 + j + 1)),
          i,
        ),
      ),
    ],
  }),
  'slices of another Service': (count) => ({
    objects: [service('large', '10.96.0.1'), ...range(count).map((i) => slice('large', [ip(100, i + 1)], i))],
  }),
  'ports of another Service': (count) => {
    const { ofService, ofSlice } = manyPorts(count);
    return { objects: [service('wide', '10.96.0.1', { ports: ofService }), slice('wide', [ip(100, 1)], 1, ofSlice)] };
  },
  'owners that contest an address': (count) => others(count, () => ({ spec: { externalIPs: ['192.0.2.1'] } })),
  'contested addresses and ports': (count) => {
    const { ofService, ofSlice } = manyPorts(count);
    return {
      objects: range(2).flatMap((i) => [
        service(`wide-${i}`, ip(96, i + 1), { ports: ofService, externalIPs: ['192.0.2.1'] }),
        slice(`wide-${i}`, [ip(100, i + 1)], 1, ofSlice),
      ]),
    };
  },
  'Services that share an endpoint': (count) => others(count, () => ({ ips: [ip(199, 201)] })),
  'remembered clients of another Service': (count) => ({
    ...others(1, () => ({ spec: STICKY })),
    prepare: ({ nft }) => remember(nft, count),
  }),
  'sticky Services, each with a time-out of its own': (count) =>
    others(count, (i) => ({
      spec: { ...STICKY, sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 + i } } },
    })),
  'addresses of the machine': (count) => ({ objects: [], addresses: range(count).map((i) => ip(50, i + 1)) }),
  'addresses of the machine at which NodePorts are': (count) => ({
    ...others(4, (i) => ({ spec: withNodePort(i) })),
    addresses: range(count).map((i) => ip(50, i + 1)),
    flags: { 'nodeport-addresses': '10.50.0.0/16' },
  }),
  'source ranges of another Service': (count) => ({
    objects: [guarded('guarded', '10.96.0.1', count), slice('guarded', [ip(100, 1)])],
  }),
  'Services with a source range': (count) => ({
    objects: range(count).flatMap((i) => [
      guarded(`guarded-${i}`, ip(96, i + 1), 1),
      slice(`guarded-${i}`, [ip(100, i + 1)]),
    ]),
  }),
  'external IPs of another Service': (count) =>
    others(1, () => ({ spec: { externalIPs: range(count).map((i) => ip(61, i + 1)) } })),
  NodePorts: (count) => others(count, (i) => ({ spec: withNodePort(i) })),
  'labels and annotations of another Service': (count) => {
    const [made, endpoints] = others(1, () => ({})).objects;
    const texts = Object.fromEntries(range(count).map((i) => [`example.com/${i}`, `v${i}`]));
    const metadata = { ...(made?.metadata as Fields), labels: texts, annotations: texts };
    return { objects: [{ kind: 'Service', ...made, metadata }, ...(endpoints === undefined ? [] : [endpoints])] };
  },
  'health-check ports': (count) =>
    others(count, (i) => ({
      spec: {
        type: 'LoadBalancer',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 32_000 - i,
        ports: withNodePort(i).ports,
      },
    })),
  'Services that cannot be read': (count) => others(count, () => ({ spec: { ports: [{ port: -1 }] } })),
  'names, in characters': (count) => {
    const name = 'n'.repeat(Math.max(1, Math.min(63, count)));
    return {
      objects: range(10).flatMap((i) => [
        service(name, ip(96, i + 1), {}, `${name.slice(2)}${i}`),
        slice(name, [ip(100, i + 1)], 1, undefined, `${name.slice(2)}${i}`),
      ]),
    };
  },
};

/**
 * What a Service has of its own: that is read and compared whole when it changes, and of it nothing is written but what changed.
 */
export const OF_ITS_OWN: Readonly<Record<string, (count: number) => World>> = {
  'source ranges': (count) => ({
    objects: [],
    probed: { ...USUAL, service: guarded(PROBED, '10.97.0.1', count) },
  }),
};

/** Clients that called the other sticky Service within its time-out. */
const remember = (nft: Life['nft'], count: number): void => {
  const map = declarations('ip').find(({ name }) => name === AFFINITY);
  if (map === undefined) throw new Error('no map of clients');
  const elem = range(count).map(
    (i) =>
      [{ elem: { val: concat(ip(70, i), '10.96.0.1', 'tcp', 80), timeout: 60 } }, concat(ip(100, 1), 8080)] as const,
  );
  nft.run([{ add: { element: { family: 'ip', table: TABLE, name: AFFINITY, elem } } }]);
};
