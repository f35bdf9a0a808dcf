/** Kubernetes objects for the model's tests: the least that is valid, and on top of it what a test is about. */
import { type IPFamily, parseCIDR } from '../../src/model/address.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { NodeOptions } from '../../src/model/node.ts';
import { readService, type ServicePort } from '../../src/model/service.ts';

export type Fields = Readonly<Record<string, unknown>>;

export const ZONE_LABEL = 'topology.kubernetes.io/zone';
export const SERVICE_LABEL = 'kubernetes.io/service-name';
export const TRIGGER_ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time';

const meta = (key: string): { readonly namespace: string; readonly name: string } => {
  const [namespace = '', name = ''] = key.split('/');
  return { namespace, name };
};

/** A Service `ns/name` with one port, changed by the given fields of its spec. */
export const serviceObject = (key: string, spec: Fields = {}, ingress: readonly Fields[] = []): Fields => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: meta(key),
  spec: {
    type: 'ClusterIP',
    clusterIP: '10.96.0.10',
    ports: [{ name: 'p', port: 80, protocol: 'TCP' }],
    ...spec,
  },
  status: { loadBalancer: ingress.length === 0 ? {} : { ingress } },
});

/** A slice `ns/name-…` of the Service `ns/name`, with one port and the given addresses. */
export const sliceObject = (key: string, addresses: readonly string[], fields: Fields = {}): Fields => {
  const { namespace, name } = meta(key);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace, name, labels: { [SERVICE_LABEL]: name.replace(/-[^-]*$/, '') } },
    addressType: 'IPv4',
    ports: [{ name: 'p', port: 8080, protocol: 'TCP' }],
    endpoints: addresses.map((address) => ({ addresses: [address] })),
    ...fields,
  };
};

/** The same object with a trigger time, in milliseconds since 1970. */
export const triggered = (object: Fields, at: number): Fields => ({
  ...object,
  metadata: {
    ...(object.metadata as Fields),
    annotations: { [TRIGGER_ANNOTATION]: new Date(at).toISOString() },
  },
});

export const nodeObject = (fields: Fields = {}): Fields => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'node1', labels: { [ZONE_LABEL]: 'za' } },
  spec: { podCIDR: '10.200.0.0/24', podCIDRs: ['10.200.0.0/24', 'fd20:0:0:1::/64'] },
  status: {
    addresses: [
      { type: 'InternalIP', address: '10.250.0.1' },
      { type: 'InternalIP', address: 'fd50::1' },
    ],
  },
  ...fields,
});

export const NODE_OPTIONS: NodeOptions = {
  nodeName: 'node1',
  bindAddress: undefined,
  detectLocalMode: 'ClusterCIDR',
  clusterCIDRs: ['10.200.0.0/16', 'fd20::/48'].flatMap((text) => parseCIDR(text) ?? []),
  bridgeInterface: '',
  interfaceNamePrefix: '',
  nodePortAddresses: [],
  localhostNodePorts: false,
  seesLocalAddresses: false,
  seesServiceCIDRs: false,
  masqueradeBit: 14,
  masqueradeAll: false,
  dropInvalid: true,
};

/** The first service port of a Service object. */
export const portOf = (object: Fields, family: IPFamily = 'IPv4'): ServicePort => {
  const [port] = readService(object).ports[family];
  if (port === undefined) throw new Error('the Service has no port in this family');
  return port;
};

/** A ready endpoint elsewhere, changed by what is given. */
export const endpoint = (ip: string, fields: Partial<Endpoint> = {}): Endpoint => ({
  ip,
  port: 8080,
  isLocal: false,
  ready: true,
  serving: true,
  terminating: false,
  zoneHints: [],
  nodeHints: [],
  ...fields,
});
