/**
 * Random lives of a small cluster: Services, slices and the Node come, change and go. Few names, addresses and ports, so that
 * events meet: two Services want one address, slices come before their Service, ports change their names.
 */

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { KubernetesObject, Step } from '../cases/page.ts';

const NAMES = ['ns/a', 'ns/b', 'ns/c', 'default/kubernetes'] as const;
const PROTOCOLS = ['TCP', 'TCP', 'UDP', 'SCTP'] as const;

const meta = (key: string): { readonly namespace: string; readonly name: string } => {
  const [namespace = '', name = ''] = key.split('/');
  return { namespace, name };
};

const portDraft = fc.record({
  name: fc.constantFrom('p', 'q'),
  protocol: fc.constantFrom(...PROTOCOLS),
  port: fc.constantFrom(80, 443),
  nodePort: fc.constantFrom(30_080, 30_081, 0),
});

const service = fc
  .record({
    key: fc.constantFrom(...NAMES),
    type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer', 'LoadBalancer', 'ExternalName'),
    ports: fc.uniqueArray(portDraft, { selector: ({ name }) => name, minLength: 1, maxLength: 2 }),
    last: fc.constantFrom(1, 2, 3),
    isDual: fc.boolean(),
    isHeadless: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    internalTrafficPolicy: fc.constantFrom('Cluster', 'Cluster', 'Local'),
    externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
    externalIPs: fc.constantFrom([], [], ['198.51.100.1'], ['198.51.100.1', 'fd98::1'], ['10.96.0.1']),
    vips: fc.constantFrom([], ['203.0.113.1'], ['203.0.113.1', 'fd99::1'], ['198.51.100.1']),
    ranges: fc.constantFrom([], [], ['10.0.0.0/8', '10.1.0.0/16', '192.0.2.1/32'], ['fd00::/8'], ['10.250.0.0/24']),
    affinity: fc.constantFrom(undefined, undefined, 60, 10_800),
    createdAt: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
  })
  .map((draft): KubernetesObject => {
    const clusterIPs = draft.isHeadless
      ? ['None']
      : [`10.96.0.${draft.last}`, ...(draft.isDual ? [`fd96::${draft.last}`] : [])];
    const hasNodePorts = draft.type === 'NodePort' || draft.type === 'LoadBalancer';
    return {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { ...meta(draft.key), creationTimestamp: draft.createdAt },
      spec: {
        type: draft.type,
        clusterIP: clusterIPs[0],
        clusterIPs,
        ports: draft.ports.map(({ nodePort, ...port }) => ({
          ...port,
          ...(hasNodePorts && nodePort > 0 ? { nodePort } : {}),
        })),
        internalTrafficPolicy: draft.internalTrafficPolicy,
        externalTrafficPolicy: draft.externalTrafficPolicy,
        externalIPs: draft.externalIPs,
        loadBalancerSourceRanges: draft.ranges,
        ...(draft.affinity === undefined
          ? {}
          : { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: draft.affinity } } }),
      },
      status: draft.type === 'LoadBalancer' ? { loadBalancer: { ingress: draft.vips.map((ip) => ({ ip })) } } : {},
    };
  });

const condition = fc.record({ ready: fc.boolean(), serving: fc.boolean(), terminating: fc.boolean() });
const endpoint = fc.record({
  last: fc.integer({ min: 1, max: 6 }),
  nodeName: fc.constantFrom('node1', 'node2'),
  conditions: fc.oneof(fc.constant({}), fc.constant({}), condition),
  hints: fc.constantFrom(
    {},
    {},
    { forZones: [{ name: 'za' }] },
    { forZones: [{ name: 'zb' }] },
    { forNodes: [{ name: 'node1' }] },
  ),
});

const slice = fc
  .record({
    service: fc.constantFrom(...NAMES),
    number: fc.constantFrom(1, 1, 2),
    addressType: fc.constantFrom('IPv4', 'IPv4', 'IPv6'),
    ports: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('p', 'q'),
        protocol: fc.constantFrom(...PROTOCOLS),
        port: fc.constantFrom(8080, 8081),
      }),
      { selector: ({ name }) => name, minLength: 1 },
    ),
    endpoints: fc.uniqueArray(endpoint, { selector: ({ last }) => last, maxLength: 6 }),
  })
  .map(({ service: key, number, addressType, ports, endpoints }): KubernetesObject => {
    const { namespace, name } = meta(key);
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        namespace,
        name: `${name}-${addressType.toLowerCase()}-${number}`,
        labels: { 'kubernetes.io/service-name': name },
      },
      addressType,
      ports,
      endpoints: endpoints.map(({ last, ...rest }) => ({
        addresses: [addressType === 'IPv6' ? `fd20::${last}` : `10.200.0.${last}`],
        ...rest,
      })),
    };
  });

const node = fc.record({ zone: fc.constantFrom('za', 'zb', '') }).map(
  ({ zone }): KubernetesObject => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node1', labels: zone === '' ? {} : { 'topology.kubernetes.io/zone': zone } },
    spec: { podCIDR: '10.200.0.0/24', podCIDRs: ['10.200.0.0/24', 'fd20:0:0:1::/64'] },
    status: {
      addresses: [
        { type: 'InternalIP', address: '10.250.0.1' },
        { type: 'InternalIP', address: 'fd50::1' },
      ],
    },
  }),
);

type Event = { readonly put: KubernetesObject } | { readonly forget: number };

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 5, arbitrary: service.map((put) => ({ put })) },
  { weight: 7, arbitrary: slice.map((put) => ({ put })) },
  { weight: 1, arbitrary: node.map((put) => ({ put })) },
  { weight: 4, arbitrary: fc.nat(1_000).map((forget) => ({ forget })) },
);

const sameObject = (a: KubernetesObject, b: KubernetesObject): boolean =>
  a.kind === b.kind && isDeepStrictEqual(meta(keyOf(a)), meta(keyOf(b)));

const keyOf = ({ metadata }: KubernetesObject): string => `${metadata.namespace ?? ''}/${metadata.name}`;

/** What can be deleted is what is there: the number of an event picks one. */
const toSteps = (bursts: readonly (readonly Event[])[]): readonly Step[] => {
  let there: readonly KubernetesObject[] = [];
  return bursts.map((events, i) => {
    const put: KubernetesObject[] = [];
    const gone: KubernetesObject[] = [];
    for (const one of events) {
      const deletable = there.filter((object) => object.kind !== 'Node' && !put.includes(object));
      const object = 'put' in one ? one.put : deletable[one.forget % Math.max(1, deletable.length)];
      if (object === undefined || [...put, ...gone].some((other) => sameObject(other, object))) continue;
      there = there.filter((other) => !sameObject(other, object));
      if ('put' in one) {
        put.push(object);
        there = [...there, object];
      } else gone.push(object);
    }
    return { step: `step ${i + 1}`, put, delete: gone, model: { IPv4: {}, IPv6: {} }, problems: [], shadowed: {} };
  });
};

/** Bursts of events, each of which is one sync. */
export const life = (maxBursts: number): fc.Arbitrary<readonly Step[]> =>
  fc.array(fc.array(event, { minLength: 1, maxLength: 5 }), { minLength: 2, maxLength: maxBursts }).map(toSteps);
