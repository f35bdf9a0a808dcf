/**
 * Objects of the API server and their history, under one counter of resource versions, as in etcd.
 *
 * History gives the changes since a version (watch), the objects at a version (consistent pages of a list), and whether
 * a version is too old. HTTP and selectors are not known here.
 */
import { randomUUID } from 'node:crypto';
import { apiVersionOf, keyOf, type ResourceType, typeOf } from './resources.ts';
import { badRequest, expired } from './status.ts';

export interface StoredMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly creationTimestamp: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

export interface StoredObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: StoredMetadata;
  readonly [field: string]: unknown;
}

/** One change; a creation has no `previous`, a deletion has no `object`. */
export interface StoredChange {
  readonly version: number;
  readonly type: ResourceType;
  readonly key: string;
  readonly object: StoredObject | undefined;
  readonly previous: StoredObject | undefined;
}

export interface ObjectInput {
  readonly kind?: unknown;
  readonly apiVersion?: unknown;
  readonly metadata?: object;
  readonly [field: string]: unknown;
}

export type StoreListener = (change: StoredChange) => void;

export class Store {
  #version: number;
  #compacted: number;
  readonly #historyLimit: number;
  #history: StoredChange[] = [];
  readonly #objects = new Map<ResourceType, Map<string, StoredObject>>();
  readonly #listeners = new Set<StoreListener>();

  constructor(version: number, historyLimit: number) {
    this.#version = version;
    this.#compacted = version;
    this.#historyLimit = historyLimit;
  }

  /** Version of the latest change. */
  get version(): number {
    return this.#version;
  }

  get(type: ResourceType, key: string): StoredObject | undefined {
    return this.#objects.get(type)?.get(key);
  }

  /** Creates or updates an object; uid and creation time are kept, the version is always new. */
  put(input: ObjectInput): StoredObject {
    const type = typeOf(input.kind, input.apiVersion);
    if (type === undefined) throw badRequest(`no kind "${input.kind}" in version "${input.apiVersion}" is served`);
    const meta = (input.metadata ?? {}) as Partial<StoredMetadata>;
    if (typeof meta.name !== 'string' || meta.name === '') throw badRequest('metadata.name is required');
    const namespace = meta.namespace ?? 'default';
    const key = keyOf(type, namespace, meta.name);
    const previous = this.get(type, key);
    const object: StoredObject = {
      ...input,
      apiVersion: apiVersionOf(type),
      kind: type.kind,
      metadata: {
        ...meta,
        name: meta.name,
        ...(type.namespaced ? { namespace } : {}),
        uid: previous?.metadata.uid ?? meta.uid ?? randomUUID(),
        creationTimestamp: previous?.metadata.creationTimestamp ?? meta.creationTimestamp ?? timestamp(),
        resourceVersion: String(this.#version + 1),
      },
    };
    this.#record({ version: this.#version + 1, type, key, object, previous });
    return object;
  }

  /** Deletes an object; returns its last state, undefined when there was none. */
  remove(type: ResourceType, key: string): StoredObject | undefined {
    const previous = this.get(type, key);
    if (previous !== undefined) this.#record({ version: this.#version + 1, type, key, object: undefined, previous });
    return previous;
  }

  #record(change: StoredChange): void {
    this.#version = change.version;
    const ofType = this.#objects.get(change.type) ?? new Map<string, StoredObject>();
    this.#objects.set(change.type, ofType);
    if (change.object === undefined) ofType.delete(change.key);
    else ofType.set(change.key, change.object);
    this.#history.push(change);
    // halved at twice the limit: a shift for each change would make each write cost the whole history
    if (this.#history.length > 2 * this.#historyLimit) {
      this.compact(this.#history[this.#historyLimit - 1]?.version ?? this.#version);
    }
    for (const listener of [...this.#listeners]) listener(change);
  }

  /** Objects of a type at a version, sorted by key. Throws 410 when history does not reach back. */
  at(type: ResourceType, version: number): readonly (readonly [string, StoredObject])[] {
    if (version < this.#compacted) throw expired(`The provided resource version ${version} is too old`);
    const objects = new Map(this.#objects.get(type));
    for (let i = this.#history.length - 1; i >= 0; i--) {
      const change = this.#history[i];
      if (change === undefined || change.version <= version) break;
      if (change.type !== type) continue;
      if (change.previous === undefined) objects.delete(change.key);
      else objects.set(change.key, change.previous);
    }
    return [...objects].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Changes after a version, oldest first. Throws 410 when history does not reach back. */
  since(type: ResourceType, version: number): readonly StoredChange[] {
    if (version < this.#compacted) throw expired(`too old resource version: ${version} (${this.#compacted})`);
    let first = this.#history.length;
    while (first > 0 && (this.#history[first - 1]?.version ?? 0) > version) first--;
    return this.#history.slice(first).filter((change) => change.type === type);
  }

  /** Drops history up to and including a version. */
  compact(version = this.#version): void {
    this.#compacted = Math.max(this.#compacted, version);
    this.#history = this.#history.filter((change) => change.version > this.#compacted);
  }

  /** Drops objects and history, as when a cluster's storage was lost. */
  reset(version: number): void {
    this.#version = version;
    this.#compacted = version;
    this.#history = [];
    this.#objects.clear();
  }

  subscribe(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** Timestamp in whole seconds, as Kubernetes writes them. */
const timestamp = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z');
