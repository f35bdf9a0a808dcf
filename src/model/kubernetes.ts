/**
 * Readers of untyped Kubernetes objects: the checks that keep a malformed one from doing harm.
 *
 * Objects come from an API server that validated them, or from files that were not validated. Readers take the fields that a
 * proxy needs and throw Malformed with the field's path; the object is then skipped and counted.
 */

import { excerpt } from './excerpt.ts';
import { isRecord } from './record.ts';

export type ObjectKind = 'Service' | 'EndpointSlice' | 'Node' | 'ServiceCIDR';

export const OBJECT_KINDS: readonly ObjectKind[] = ['Service', 'EndpointSlice', 'Node', 'ServiceCIDR'];

export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/**
 * Receiver of objects. `replace` brings all objects of a kind; the first one of each kind makes it synced. It may take long:
 * the kind's next event is handed over when it is done.
 */
export interface ObjectSink {
  replace(kind: ObjectKind, objects: readonly unknown[]): Promise<void> | void;
  put(kind: ObjectKind, object: unknown): void;
  remove(kind: ObjectKind, object: unknown): void;
}

export interface ObjectMeta {
  /** Empty for a cluster-scoped object. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, unknown>>;
  readonly annotations: Readonly<Record<string, unknown>>;
  /** Milliseconds since 1970; 0 without a timestamp. */
  readonly createdAt: number;
}

/** Error of an object that cannot be of its kind. The message names the field and its value. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

const NAMESPACED: ReadonlySet<ObjectKind> = new Set(['Service', 'EndpointSlice']);

/** Reads an object's metadata. Throws Malformed without a name, or without a namespace where the kind has one. */
export const readMeta = (raw: unknown, kind: ObjectKind): ObjectMeta => {
  if (!isRecord(raw)) throw new Malformed(`a ${kind} must be an object, not ${excerpt(raw)}`);
  const meta = raw.metadata;
  if (!isRecord(meta) || typeof meta.name !== 'string' || meta.name === '')
    throw new Malformed('metadata.name is missing');
  const namespace = readName(meta.namespace, 'metadata.namespace');
  readName(meta.name, 'metadata.name');
  if (namespace === '' && NAMESPACED.has(kind)) throw new Malformed('metadata.namespace is missing');
  const created = Date.parse(typeof meta.creationTimestamp === 'string' ? meta.creationTimestamp : '');
  return {
    namespace,
    name: meta.name,
    labels: isRecord(meta.labels) ? meta.labels : {},
    annotations: isRecord(meta.annotations) ? meta.annotations : {},
    createdAt: Number.isNaN(created) ? 0 : created,
  };
};

/** Value of a label or annotation; empty where it is absent or not text. */
export const textAt = (values: Readonly<Record<string, unknown>>, key: string): string => {
  const value = Object.hasOwn(values, key) ? values[key] : undefined;
  return typeof value === 'string' ? value : '';
};

/** `ns/name`, or the name alone of a cluster-scoped object. */
export const objectKey = (meta: Pick<ObjectMeta, 'namespace' | 'name'>): string =>
  meta.namespace === '' ? meta.name : `${meta.namespace}/${meta.name}`;

/** Reads a list; a missing one is empty, as Go omits empty lists. Throws Malformed. */
export const readArray = (value: unknown, path: string): readonly unknown[] => {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new Malformed(`${path} must be a list, not ${excerpt(value)}`);
  return value;
};

/** Reads text; empty when absent. Throws Malformed. */
export const readString = (value: unknown, path: string): string => {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw new Malformed(`${path} must be text, not ${excerpt(value)}`);
  return value;
};

/** Characters of the longest name in Kubernetes (RFC 1123 subdomain). */
const MAX_NAME = 253;

/**
 * Reads a name of at most MAX_NAME characters, without control characters and without the separators of an owner's name
 * (`/`, `:`), as names stand in messages, pages and labels of metrics. Empty when absent. Throws Malformed.
 */
export const readName = (value: unknown, path: string): string => {
  const name = readString(value, path);
  if (name.length <= MAX_NAME && !/[\p{Cc}/:]/u.test(name)) return name;
  throw new Malformed(`${path} must be a name of at most ${MAX_NAME} characters, not ${excerpt(name)}`);
};

/** Reads a port, 1-65535. Throws Malformed. */
export const readPort = (value: unknown, path: string): number => {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535) return value;
  throw new Malformed(`${path} must be a port from 1 to 65535, not ${excerpt(value)}`);
};

/** Reads a port; 0 for none, as in Go. Throws Malformed. */
export const readOptionalPort = (value: unknown, path: string): number =>
  value === undefined || value === null || value === 0 ? 0 : readPort(value, path);

/** Reads a protocol; TCP when absent. Throws Malformed. */
export const readProtocol = (value: unknown, path: string): Protocol => {
  const protocol = value ?? 'TCP';
  if (protocol === 'TCP' || protocol === 'UDP' || protocol === 'SCTP') return protocol;
  throw new Malformed(`${path} must be TCP, UDP or SCTP, not ${excerpt(value)}`);
};
