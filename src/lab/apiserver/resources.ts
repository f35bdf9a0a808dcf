/**
 * Resource types of this API server, and their URLs.
 *
 * Owns the table of resources and the parsing of paths; requests, storage and selectors are elsewhere.
 */

export interface ResourceType {
  /** API group; empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Fields that a field selector may use; the real server refuses all others. */
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

/** Name with group, as in the real server's messages: `services`, `endpointslices.discovery.k8s.io`. */
export const fullName = (type: ResourceType): string =>
  type.group === '' ? type.plural : `${type.plural}.${type.group}`;

/** Type of an object; without an apiVersion the first type of that kind. */
export const typeOf = (kind: unknown, apiVersion?: unknown): ResourceType | undefined =>
  RESOURCE_TYPES.find(
    (type) => type.kind === kind && (apiVersion === undefined || apiVersionOf(type) === String(apiVersion)),
  );

/** Collection (without a name) or object of a URL below /api or /apis. */
export interface ResourcePath {
  readonly type: ResourceType;
  /** Namespace; empty = all namespaces, or a cluster-scoped type. */
  readonly namespace: string;
  readonly name: string;
}

/** Parses a path; undefined when the resource is not served. `…/status` is the object itself here. */
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

/** Key of an object within its type: `ns/name`, or the name. Sorted keys are in the order of etcd's lists. */
export const keyOf = (type: ResourceType, namespace: string, name: string): string =>
  type.namespaced ? `${namespace}/${name}` : name;
