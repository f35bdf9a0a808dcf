/**
 * One open watch: initial events, changes of the selection as lines of JSON, bookmarks, end.
 *
 * Owns the response from the first byte to the last. Parsing of requests and other watches are elsewhere.
 */
import type { ServerResponse } from 'node:http';
import type { Faults } from './faults.ts';
import { type Query, readVersion } from './list.ts';
import { apiVersionOf, type ResourceType } from './resources.ts';
import { readSelector, type Selector } from './selectors.ts';
import { type ApiStatus, failure, invalid, StatusError, tooLarge } from './status.ts';
import type { Store, StoredChange, StoredObject } from './store.ts';

const INITIAL_EVENTS_END = { 'k8s.io/initial-events-end': 'true' };
/** Time-out without timeoutSeconds; the real server picks 30 to 60 minutes. */
const DEFAULT_TIMEOUT_SECONDS = 1800;

export interface WatchRequest {
  readonly store: Store;
  readonly faults: Faults;
  readonly type: ResourceType;
  readonly namespace: string;
  readonly query: Query;
  readonly bookmarkEveryMs: number;
  readonly response: ServerResponse;
}

type Initial = 'none' | 'synthetic' | 'streaming';

const isTrue = (text: string | undefined): boolean => text === 'true' || text === '1';

/** Initial events of a watch. Throws what the real server refuses. */
const chooseInitial = (query: Query, faults: Faults, type: ResourceType): Initial => {
  const asked = query.sendInitialEvents ?? '';
  const match = query.resourceVersionMatch ?? '';
  const fault = asked === '' ? undefined : faults.take(['no-streaming'], type.plural, 'watch');
  if (fault?.how === 'refuse') {
    if (fault.status !== undefined && fault.status !== 422) throw failure(fault.status);
    throw invalid('sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless WatchList is enabled');
  }
  const byVersion = (readVersion(query) ?? 0) === 0 ? 'synthetic' : 'none';
  if (fault?.how === 'ignore') return byVersion;
  if (asked === '' && match !== '') {
    throw invalid('resourceVersionMatch: Forbidden: forbidden for watch unless sendInitialEvents is provided');
  }
  if (asked !== '' && match !== 'NotOlderThan') {
    throw invalid('resourceVersionMatch: Forbidden: sendInitialEvents requires setting it to NotOlderThan');
  }
  if (asked === '') return byVersion;
  return isTrue(asked) ? 'streaming' : 'none';
};

export class WatchStream {
  readonly type: ResourceType;
  readonly #request: WatchRequest;
  readonly #initial: Initial;
  readonly #selects: Selector;
  readonly #timers: NodeJS.Timeout[] = [];
  #unsubscribe = (): void => undefined;
  #open = true;
  /** Version up to which the client has all changes. */
  #version: number;

  /** Opens a watch. Throws StatusError, before the first byte is sent. */
  constructor(request: WatchRequest) {
    const { store, faults, type, namespace, query } = request;
    this.#request = request;
    this.type = type;
    this.#selects = readSelector(type, namespace, query);
    this.#initial = chooseInitial(query, faults, type);
    const asked = readVersion(query) ?? 0;
    if (this.#initial === 'streaming' && asked > store.version) throw tooLarge(asked, store.version);
    this.#version = this.#initial === 'none' && asked > 0 ? asked : store.version;
  }

  start(): void {
    const { store, query, response, bookmarkEveryMs } = this.#request;
    response.on('close', () => this.#stop());
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
    response.flushHeaders();
    try {
      this.#begin(store);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.#fail(error.status);
      return;
    }
    if (!this.#open) return;
    this.#unsubscribe = store.subscribe((change) => this.#sendChange(change));
    const seconds = Number(query.timeoutSeconds ?? 0) || DEFAULT_TIMEOUT_SECONDS;
    this.#timers.push(setTimeout(() => this.end(), seconds * 1000));
    if (this.#wantsBookmarks) this.#timers.push(setInterval(() => this.#bookmark(), bookmarkEveryMs));
  }

  /** Whether the watch still sends. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Ends the watch in good order, after a last bookmark. */
  end(): void {
    if (!this.#open) return;
    if (this.#wantsBookmarks) this.#bookmark();
    this.#stop();
    this.#request.response.end();
  }

  /** Closes the connection. */
  cut(): void {
    this.#stop();
    this.#request.response.destroy();
  }

  /** Sends nothing from now on, not even the end. */
  stall(): void {
    this.#stop();
  }

  #stop(): void {
    this.#open = false;
    this.#unsubscribe();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  get #wantsBookmarks(): boolean {
    return isTrue(this.#request.query.allowWatchBookmarks);
  }

  #begin(store: Store): void {
    if (this.#initial === 'none') {
      for (const change of store.since(this.type, this.#version)) this.#sendChange(change);
      return;
    }
    for (const [, object] of store.at(this.type, this.#version)) {
      if (this.#selects(object)) this.#event('ADDED', object);
    }
    if (this.#initial === 'streaming' && this.#wantsBookmarks) this.#bookmarkLine(INITIAL_EVENTS_END);
  }

  /** Sends a change by the selection: ADDED when the object starts to match, DELETED when it ceases to. */
  #sendChange(change: StoredChange): void {
    if (change.type !== this.type || change.version <= this.#version) return;
    this.#version = change.version;
    const before = change.previous !== undefined && this.#selects(change.previous) ? change.previous : undefined;
    const after = change.object !== undefined && this.#selects(change.object) ? change.object : undefined;
    if (after !== undefined) this.#event(before === undefined ? 'ADDED' : 'MODIFIED', after);
    else if (before !== undefined) this.#event('DELETED', atVersion(before, change.version));
  }

  #bookmark(): void {
    const { faults, store } = this.#request;
    // a bookmark with an older version tells a client of a longer history that its version is meaningless
    this.#version = store.version;
    if (faults.take(['no-bookmarks'], this.type.plural, 'watch') === undefined) this.#bookmarkLine();
  }

  #bookmarkLine(annotations?: Readonly<Record<string, string>>): void {
    this.#line('BOOKMARK', {
      kind: this.type.kind,
      apiVersion: apiVersionOf(this.type),
      metadata: {
        resourceVersion: String(this.#version),
        creationTimestamp: null,
        ...(annotations === undefined ? {} : { annotations }),
      },
    });
  }

  #event(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: StoredObject): void {
    const { faults, response } = this.#request;
    const fault = this.#open ? faults.take(['cut', 'malformed', 'error-event'], this.type.plural, 'watch') : undefined;
    if (fault?.fault === 'cut') {
      this.#stop();
      const line = Buffer.from(JSON.stringify({ type, object }));
      response.write(line.subarray(0, line.length / 2), () => response.destroy());
    } else if (fault?.fault === 'malformed') {
      response.write(`{"type":"${type}","object":{"kind": nonsense}}\n`);
    } else if (fault?.fault === 'error-event') {
      this.#fail(failure(fault.status).status);
    } else {
      this.#line(type, object);
    }
  }

  #fail(status: ApiStatus): void {
    this.#line('ERROR', status);
    this.#stop();
    this.#request.response.end();
  }

  #line(type: string, object: unknown): void {
    if (this.#open) this.#request.response.write(`${JSON.stringify({ type, object })}\n`);
  }
}

/** Last state of a deleted object, with the version of the deletion. */
const atVersion = (object: StoredObject, version: number): StoredObject => ({
  ...object,
  metadata: { ...object.metadata, resourceVersion: String(version) },
});
