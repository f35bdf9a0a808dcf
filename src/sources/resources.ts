/**
 * The four resources that a proxy watches, and which of their objects are its business.
 *
 * Owns the selection, once as selectors for an API server and once as a predicate for objects from elsewhere. Both are
 * kube-proxy's. Knows nothing of how objects are fetched.
 */

import type { ObjectKind } from '../model/kubernetes.ts';
import { isRecord } from '../model/record.ts';
import { HEADLESS } from '../model/service.ts';
import { dig, digText } from './raw.ts';

/**
 * How long everything waits for its first list once the required ones are here: for ever, for long (what it brings is missed
 * by many), or for a moment. Then it counts as empty until it can be listed.
 */
export type Requirement = 'required' | 'wanted' | 'optional';

export interface Resource {
  readonly kind: ObjectKind;
  readonly apiVersion: string;
  /** The collection's path, over all namespaces. */
  readonly path: string;
  readonly namespaced: boolean;
  readonly labelSelector: string;
  readonly fieldSelector: string;
  readonly need: Requirement;
  /** The same selection as the selectors'. */
  readonly selects: (object: unknown) => boolean;
}

/** A Service with it belongs to another proxy. */
const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
/** A slice with it belongs to a Service without a ClusterIP. */
const HEADLESS_LABEL = 'service.kubernetes.io/headless';

/** Why a Service is not a proxy's business, as far as the selectors know; undefined = it is. */
export const whyNotSelected = (service: unknown): string | undefined => {
  if (dig(service, 'spec', 'clusterIP') === 'None') return HEADLESS;
  if (!hasLabel(service, PROXY_NAME_LABEL)) return undefined;
  return `its label ${PROXY_NAME_LABEL} leaves it to another proxy: ${digText(service, 'metadata', 'labels', PROXY_NAME_LABEL)}`;
};

const hasLabel = (object: unknown, label: string): boolean => {
  const labels = dig(object, 'metadata', 'labels');
  return isRecord(labels) && Object.hasOwn(labels, label);
};

/**
 * In the order in which they are best handed over: a Service is resolved with the Node at hand, an EndpointSlice with
 * its Service.
 */
export const resourcesFor = (nodeName: string): readonly Resource[] => [
  {
    kind: 'Node',
    apiVersion: 'v1',
    path: '/api/v1/nodes',
    namespaced: false,
    labelSelector: '',
    fieldSelector: `metadata.name=${nodeName}`,
    need: 'wanted',
    selects: (object) => digText(object, 'metadata', 'name') === nodeName,
  },
  {
    kind: 'ServiceCIDR',
    apiVersion: 'networking.k8s.io/v1',
    path: '/apis/networking.k8s.io/v1/servicecidrs',
    namespaced: false,
    labelSelector: '',
    fieldSelector: '',
    need: 'optional',
    selects: () => true,
  },
  {
    kind: 'Service',
    apiVersion: 'v1',
    path: '/api/v1/services',
    namespaced: true,
    labelSelector: `!${PROXY_NAME_LABEL}`,
    fieldSelector: 'spec.clusterIP!=None',
    need: 'required',
    selects: (object) => whyNotSelected(object) === undefined,
  },
  {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    path: '/apis/discovery.k8s.io/v1/endpointslices',
    namespaced: true,
    labelSelector: `!${HEADLESS_LABEL}`,
    fieldSelector: '',
    need: 'required',
    selects: (object) => !hasLabel(object, HEADLESS_LABEL),
  },
];

/** The same without the networks of ClusterIPs, for modes that do not look at them. */
export const withoutServiceCIDRs = (resources: readonly Resource[]): readonly Resource[] =>
  resources.filter((resource) => resource.kind !== 'ServiceCIDR');

/** The same, but Services of every sort: for whoever asks why one is not served. */
export const withAllServices = (resources: readonly Resource[]): readonly Resource[] =>
  resources.map((resource) =>
    resource.kind === 'Service' ? { ...resource, labelSelector: '', fieldSelector: '', selects: () => true } : resource,
  );
