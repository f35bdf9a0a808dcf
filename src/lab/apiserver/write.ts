/** Requests that change objects: POST, PUT, PATCH (merge patch, JSON patch) and DELETE of one object. */
import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../../model/record.ts';
import { checkChangedEvent, checkNewEvent } from './event-rules.ts';
import { jsonPatch } from './json-patch.ts';
import { apiVersionOf, keyOf, type ResourcePath, type ResourceType } from './resources.ts';
import { alreadyExists, badRequest, conflict, notFound, StatusError } from './status.ts';
import type { ObjectInput, Store, StoredMetadata, StoredObject } from './store.ts';

/** Parses a body as an object of the URL's type and namespace. */
const readObject = (target: ResourcePath, body: unknown): ObjectInput & { metadata: Partial<StoredMetadata> } => {
  if (!isRecord(body)) throw badRequest('the body is no object');
  const { type, namespace } = target;
  const { kind = type.kind, apiVersion = apiVersionOf(type), metadata = {} } = body;
  if (kind !== type.kind || apiVersion !== apiVersionOf(type)) {
    throw badRequest(`the object provided is ${apiVersion} ${kind}, expected ${apiVersionOf(type)} ${type.kind}`);
  }
  if (!isRecord(metadata)) throw badRequest('metadata is no object');
  const own = metadata.namespace ?? namespace;
  if (type.namespaced && own !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  const inNamespace = type.namespaced ? { namespace } : {};
  return { ...body, kind, apiVersion, metadata: { ...metadata, ...inNamespace } as Partial<StoredMetadata> };
};

const isEvent = ({ group, kind }: ResourceType): boolean => group === 'events.k8s.io' && kind === 'Event';

const find = (store: Store, target: ResourcePath): StoredObject => {
  const found = store.get(target.type, keyOf(target.type, target.namespace, target.name));
  if (found === undefined) throw notFound(target.type, target.name);
  return found;
};

export const getObject = find;

export const createObject = (store: Store, target: ResourcePath, body: unknown, random: () => number): StoredObject => {
  const { metadata, ...object } = readObject(target, body);
  const suffix = (): string =>
    Math.floor(random() * 36 ** 5)
      .toString(36)
      .padStart(5, '0');
  const prefix = metadata.generateName;
  const name = metadata.name ?? (typeof prefix === 'string' ? `${prefix}${suffix()}` : '');
  if (metadata.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
  if (store.get(target.type, keyOf(target.type, target.namespace, name)) !== undefined) {
    throw alreadyExists(target.type, name);
  }
  const made = { ...object, metadata: { ...metadata, name } };
  if (isEvent(target.type)) checkNewEvent(made, target.namespace);
  return store.put(made);
};

export const updateObject = (store: Store, target: ResourcePath, body: unknown): StoredObject => {
  const found = find(store, target);
  const object = readObject(target, body);
  if ((object.metadata.name ?? target.name) !== target.name) {
    throw badRequest('the name of the object does not match the name on the URL');
  }
  const version = object.metadata.resourceVersion ?? '';
  if (version !== '' && version !== found.metadata.resourceVersion) throw conflict(target.type, target.name);
  const { uid, creationTimestamp, resourceVersion } = found.metadata;
  const metadata = { ...object.metadata, name: target.name, uid, creationTimestamp, resourceVersion };
  const next = { ...object, metadata };
  if (isEvent(target.type)) checkChangedEvent(next, found);
  // an update without a change causes no event, as in the real server
  return isDeepStrictEqual(next, found) ? found : store.put(next);
};

/** JSON Merge Patch (RFC 7386). */
const mergePatch = (value: unknown, patch: unknown): unknown => {
  if (!isRecord(patch)) return patch;
  const result: Record<string, unknown> = isRecord(value) ? { ...value } : {};
  for (const [key, part] of Object.entries(patch)) {
    if (part === null) delete result[key];
    else result[key] = mergePatch(result[key], part);
  }
  return result;
};

export const patchObject = (store: Store, target: ResourcePath, body: unknown, contentType: string): StoredObject => {
  const [, kind] = /^application\/(json-patch|(?:strategic-)?merge-patch)\+json/.exec(contentType) ?? [];
  if (kind === undefined) {
    throw new StatusError(415, 'UnsupportedMediaType', 'only merge patches and JSON patches are supported here');
  }
  const apply = kind === 'json-patch' ? jsonPatch : mergePatch;
  return updateObject(store, target, apply(find(store, target), body));
};

export const deleteObject = (store: Store, target: ResourcePath): StoredObject => {
  const removed = store.remove(target.type, keyOf(target.type, target.namespace, target.name));
  if (removed === undefined) throw notFound(target.type, target.name);
  return removed;
};
