/**
 * Embedded API server: lists, watches and writes as in a Kubernetes API server, with faults on demand.
 *
 * For tests and the demo, which have no cluster. Composes listener, store, handlers and faults; network namespaces,
 * nodes and proxies are not known here.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Exchange, type LoggedRequest, readBody, readExchange, sendBody, sendStatus } from './exchange.ts';
import { type Fault, Faults, IMMEDIATE, isAimedAt, isFault } from './faults.ts';
import { ApiListener, type TlsOptions } from './listener.ts';
import { keyOf, RESOURCE_TYPES, typeOf } from './resources.ts';
import { answerReview, type LabUser, reviewResource } from './reviews.ts';
import { serve } from './serve.ts';
import { badRequest, failure, internalError, noSuchPath, StatusError, unauthorized } from './status.ts';
import { type ObjectInput, Store, type StoredObject } from './store.ts';
import { WatchStream } from './watch.ts';

export interface ApiServerOptions {
  readonly host?: string;
  readonly port?: number;
  readonly socketPath?: string;
  readonly tls?: TlsOptions;
  /** Bearer token that requests must have; absent = no authentication. */
  readonly token?: string;
  /** Users of TokenReviews and SubjectAccessReviews. */
  readonly users?: readonly LabUser[];
  readonly bookmarkEveryMs?: number;
  /** Least number of changes that are kept for watches. */
  readonly historyLimit?: number;
  /** resourceVersion to start after. */
  readonly version?: number;
  readonly now?: () => number;
  readonly random?: () => number;
}

const LOG_LIMIT = 10_000;

export class ApiServer {
  /** May be changed while running; the next request must have the new one. */
  token: string | undefined;
  /** Users; may be changed while running. */
  users: readonly LabUser[];
  readonly #listener: ApiListener;
  readonly #store: Store;
  readonly #faults = new Faults();
  readonly #watches = new Set<WatchStream>();
  readonly #options: ApiServerOptions;
  #requests: LoggedRequest[] = [];

  constructor(options: ApiServerOptions = {}) {
    const { host = '127.0.0.1', port = 0, socketPath = '', tls, version = 1000, historyLimit = 50_000 } = options;
    this.#options = options;
    this.token = options.token;
    this.users = options.users ?? [];
    this.#store = new Store(version, historyLimit);
    this.#listener = new ApiListener({ host, port, socketPath, tls }, (request, response) => {
      void this.#answer(request, response);
    });
  }

  start(): Promise<void> {
    return this.#listener.open();
  }

  /** Closes all connections. Objects, history and port are kept: `start` again is a restart. */
  async stop(): Promise<void> {
    for (const watch of this.#watches) watch.stall();
    this.#watches.clear();
    await this.#listener.close();
  }

  get port(): number {
    return this.#listener.port;
  }

  get url(): string {
    const host = this.#options.host ?? '127.0.0.1';
    const scheme = this.#options.tls === undefined ? 'http' : 'https';
    return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${this.port}`;
  }

  get openConnections(): number {
    return this.#listener.openConnections;
  }

  get acceptedConnections(): number {
    return this.#listener.acceptedConnections;
  }

  /** Open watches without stalled ones. */
  get openWatches(): number {
    return [...this.#watches].filter((watch) => watch.isOpen).length;
  }

  /** Requests since the start (the last 10,000), oldest first. */
  get requests(): readonly LoggedRequest[] {
    return this.#requests;
  }

  get version(): number {
    return this.#store.version;
  }

  /** Creates or updates an object; a missing apiVersion, namespace, uid or creation time is set. */
  put(object: ObjectInput): StoredObject {
    return this.#store.put(object);
  }

  /** Deletes an object; returns whether it existed. */
  delete(kind: string, namespace: string, name: string): boolean {
    const type = typeOf(kind);
    return type !== undefined && this.#store.remove(type, keyOf(type, namespace, name)) !== undefined;
  }

  get(kind: string, namespace: string, name: string): StoredObject | undefined {
    const type = typeOf(kind);
    return type === undefined ? undefined : this.#store.get(type, keyOf(type, namespace, name));
  }

  objects(kind: string): readonly StoredObject[] {
    return RESOURCE_TYPES.filter((type) => type.kind === kind).flatMap((type) =>
      this.#store.at(type, this.#store.version).map(([, object]) => object),
    );
  }

  /** Drops history: watches from older versions, and continue tokens, get 410. */
  compact(): void {
    this.#store.compact();
  }

  /** Drops all objects and history, as in a cluster restored without a backup. Open watches end. */
  reset(version = 1): void {
    this.#store.reset(version);
    this.inject({ fault: 'end-watches', abrupt: true });
  }

  inject(fault: Fault): void {
    if (!IMMEDIATE.has(fault.fault)) this.#faults.add(fault);
    else if (fault.fault === 'close-connections') this.#listener.cutConnections();
    else this.#disturbWatches(fault);
  }

  #disturbWatches(fault: Fault): void {
    for (const watch of [...this.#watches].filter(({ type }) => isAimedAt(fault, type.plural, 'watch'))) {
      if (fault.fault === 'stall') watch.stall();
      else if (fault.fault === 'end-watches' && fault.abrupt === true) watch.cut();
      else watch.end();
    }
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const exchange = readExchange(request, response, (this.#options.now ?? Date.now)());
      if (exchange.asked.path.startsWith('/lab/')) return await this.#control(exchange);
      this.#requests.push(exchange.asked);
      if (this.#requests.length > 2 * LOG_LIMIT) this.#requests = this.#requests.slice(-LOG_LIMIT);
      if (this.token !== undefined && exchange.asked.authorization !== `Bearer ${this.token}`) throw unauthorized();
      if (await this.#injectFault(exchange)) return;
      if (exchange.asked.verb === 'watch') this.#watch(exchange);
      else if (isReview(exchange)) await this.#review(exchange);
      else await serve(exchange, this.#store, this.#options.random ?? Math.random);
    } catch (error) {
      if (response.headersSent) response.destroy();
      else sendStatus(response, error instanceof StatusError ? error : internalError(error));
    }
  }

  /** Injects the pending fault of a request; returns true when it needs no further answer. */
  async #injectFault({ asked, request }: Exchange): Promise<boolean> {
    const fault = this.#faults.take(['answer', 'hang', 'drop', 'delay'], asked.resource, asked.verb);
    switch (fault?.fault) {
      case 'answer':
        throw failure(fault.status, fault.retryAfter);
      case 'hang':
        return true;
      case 'drop':
        request.socket.destroy();
        return true;
      case 'delay':
        await pauseWhileOpen(request.socket, fault.ms);
        return request.socket.destroyed;
      default:
        return false;
    }
  }

  async #review({ request, response, asked }: Exchange): Promise<void> {
    sendBody(response, 201, answerReview(asked.path, await readBody(request), this.users));
  }

  #watch({ response, asked, target }: Exchange): void {
    if (target === undefined) throw noSuchPath();
    const watch = new WatchStream({
      store: this.#store,
      faults: this.#faults,
      type: target.type,
      namespace: target.namespace,
      query: asked.query,
      bookmarkEveryMs: this.#options.bookmarkEveryMs ?? 60_000,
      response,
    });
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
    watch.start();
  }

  /** Control requests of test harnesses in other processes: faults and the request log, over the same sockets. */
  async #control({ request, response, asked }: Exchange): Promise<void> {
    switch (`${asked.method} ${asked.path}`) {
      case 'POST /lab/faults': {
        const body = await readBody(request);
        const faults = Array.isArray(body) ? body : [body];
        if (!faults.every(isFault)) throw badRequest(`no such fault in ${JSON.stringify(body)}`);
        sendBody(response, 200, { injected: faults.length });
        for (const fault of faults) this.inject(fault);
        return;
      }
      case 'DELETE /lab/faults':
        this.clearFaults();
        return sendBody(response, 200, {});
      case 'POST /lab/compact':
        this.compact();
        return sendBody(response, 200, { version: this.version });
      case 'PUT /lab/objects': {
        const body = await readBody(request);
        if (!Array.isArray(body)) throw badRequest('a list of objects is expected');
        for (const object of body) this.put(object as ObjectInput);
        return sendBody(response, 200, { version: this.version });
      }
      case 'DELETE /lab/objects': {
        const body = await readBody(request);
        if (!Array.isArray(body)) throw badRequest('a list of objects is expected');
        for (const { kind, metadata } of body as readonly ObjectReference[]) {
          this.delete(kind, metadata.namespace ?? '', metadata.name);
        }
        return sendBody(response, 200, { version: this.version });
      }
      case 'GET /lab/requests':
        return sendBody(response, 200, this.requests);
      default:
        throw noSuchPath();
    }
  }
}

const isReview = ({ asked }: Exchange): boolean => asked.verb === 'create' && reviewResource(asked.path) !== undefined;

interface ObjectReference {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string; readonly name: string };
}

const pauseWhileOpen = (socket: Socket, ms: number): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      socket.off('close', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    socket.on('close', done);
  });
