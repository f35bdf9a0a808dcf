/**
 * The kinds of object that this API server stores, and how its URLs name them.
 *
 * Owns the table of resources and the reading of paths; knows nothing of requests, storage or selectors.
 */

export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** What a field selector may look at; the real server refuses all other fields. */
  readonly fields: readonly string[];
}

export const RESOURCE_TYPES: readonly ResourceType[] = [
  resource('', 'services', 'Service', true, ['spec.clusterIP', 'spec.type']),
  resource('', 'nodes', 'Node', false, ['spec.unschedulable']),
  resource('', 'events', 'Event', true, ['reason', 'type', 'involvedObject.kind', 'involvedObject.name']),
  resource('discovery.k8s.io', 'endpointslices', 'EndpointSlice', true, []),
  resource('networking.k8s.io', 'servicecidrs', 'ServiceCIDR', false, []),
  resource('events.k8s.io', 'events', 'Event', true, ['reason', 'type', 'regarding.kind', 'regarding.name']),
];

function resource(
  group: string,
  plural: string,
  kind: string,
  namespaced: boolean,
  fields: readonly string[],
): ResourceType {
  const common = namespaced ? ['metadata.name', 'metadata.namespace'] : ['metadata.name'];
  return { group, version: 'v1', plural, kind, namespaced, fields: [...common, ...fields] };
}

export const apiVersionOf = (type: Pick<ResourceType, 'group' | 'version'>): string =>
  type.group === '' ? type.version : `${type.group}/${type.version}`;

/** `services`, `endpointslices.discovery.k8s.io`: as the real server names resources in messages. */
export const fullName = (type: ResourceType): string =>
  type.group === '' ? type.plural : `${type.plural}.${type.group}`;

/** The type of an object; without an apiVersion the first type of that kind. */
export const typeOf = (kind: unknown, apiVersion?: unknown): ResourceType | undefined =>
  RESOURCE_TYPES.find(
    (type) => type.kind === kind && (apiVersion === undefined || apiVersionOf(type) === String(apiVersion)),
  );

/** What a URL below /api or /apis points at: a collection (no name) or an object. */
export interface ResourcePath {
  readonly type: ResourceType;
  /** Empty: all namespaces, or a cluster-scoped type. */
  readonly namespace: string;
  readonly name: string;
}

/** Reads a path; undefined when no such resource is served. `…/status` is the object itself here. */
export const readTarget = (path: string): ResourcePath | undefined => {
  const [root, ...rest] = path.split('/').filter((part) => part !== '');
  const [group, version, ...tail] = root === 'api' ? ['', ...rest] : rest;
  if ((root !== 'api' && root !== 'apis') || group === undefined || version === undefined) return undefined;
  const scoped = tail[0] === 'namespaces' && tail.length > 2;
  const [plural, name = '', subresource, ...more] = (scoped ? tail.slice(2) : tail).map(decodeURIComponent);
  const type = RESOURCE_TYPES.find((t) => t.group === group && t.version === version && t.plural === plural);
  if (type === undefined || more.length > 0 || (subresource !== undefined && subresource !== 'status'))
    return undefined;
  if (scoped !== type.namespaced && (scoped || name !== '')) return undefined;
  return { type, namespace: scoped ? decodeURIComponent(tail[1] ?? '') : '', name };
};

/** An object's key within its type: `ns/name`, or the name. Sorting by it is the order in which etcd lists. */
export const keyOf = (type: ResourceType, namespace: string, name: string): string =>
  type.namespaced ? `${namespace}/${name}` : name;
