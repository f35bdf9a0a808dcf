/**
 * The four resources that a proxy watches, and the selection of their objects.
 *
 * The selection stands here once as selectors for an API server and once as a predicate for other sources; both are
 * kube-proxy's. How objects are fetched is not known here.
 */

import type { ObjectKind } from '../model/kubernetes.ts';
import { isRecord } from '../model/record.ts';
import { HEADLESS } from '../model/service.ts';
import { dig, digText } from './raw.ts';

/**
 * How long the first sync waits for the first list of a resource, after the required ones are listed: without end, long
 * (its absence affects many Services), or briefly. After that it counts as empty until it can be listed.
 */
export type Requirement = 'required' | 'wanted' | 'optional';

export interface Resource {
  readonly kind: ObjectKind;
  readonly apiVersion: string;
  /** Path of the collection over all namespaces. */
  readonly path: string;
  readonly namespaced: boolean;
  readonly labelSelector: string;
  readonly fieldSelector: string;
  readonly need: Requirement;
  /** Same selection as by the selectors. */
  readonly selects: (object: unknown) => boolean;
}

/** Label of a Service that another proxy serves. */
const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';
/** Label of the EndpointSlices of a headless Service. */
const HEADLESS_LABEL = 'service.kubernetes.io/headless';

/** Why the selectors leave out a Service; undefined = selected. */
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
 * Resources in the order of their hand-over: a Service is resolved with the Node, an EndpointSlice with its Service.
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

/** Resources without ServiceCIDRs, for modes that do not use them. */
export const withoutServiceCIDRs = (resources: readonly Resource[]): readonly Resource[] =>
  resources.filter((resource) => resource.kind !== 'ServiceCIDR');

/** Resources with unselected Services included, to explain why one is not served. */
export const withAllServices = (resources: readonly Resource[]): readonly Resource[] =>
  resources.map((resource) =>
    resource.kind === 'Service' ? { ...resource, labelSelector: '', fieldSelector: '', selects: () => true } : resource,
  );
