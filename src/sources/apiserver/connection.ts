/**
 * Connection to the API server: one pool of sockets, and requests over it.
 *
 * Owns sockets, their time-outs, and the credentials and certificates of the next connection. Address and identity are
 * the endpoint's; Kubernetes objects, lists and watches are not known here.
 */
import type { Agent, IncomingMessage } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { describeError, type Log } from '../source.ts';
import { type ApiEndpoint, checkTls, createAgent, type Identity, retireAgent } from './endpoint.ts';
import { type ConnectionTimeouts, StaleConnection, sendRequest } from './http.ts';
import { inClusterEndpoint, masterEndpoint } from './incluster.ts';
import { type RequestListener, RequestWatch } from './request-watch.ts';

export interface RequestOptions {
  readonly signal: AbortSignal;
  readonly method?: string;
  /** Body, sent as JSON. */
  readonly body?: unknown;
  /** Content type of the body. */
  readonly contentType?: string;
  /** Whether the response is a stream, whose duration is not measured. */
  readonly streams?: boolean;
}

export interface ApiConnection {
  /** URL of the server, for messages. */
  readonly server: string;
  /** Sets the listener that every request is reported to. */
  listen(listener: RequestListener): void;
  /**
   * Sends a request; resolves with the response when its headers arrive, whatever its status. Rejects on a time-out or
   * when aborted.
   */
  request(path: string, options: RequestOptions): Promise<IncomingMessage>;
  /** Closes the pool with all sockets, also those of requests under way: abort these first. */
  close(): void;
}

const DEFAULT_TIMEOUTS: ConnectionTimeouts = { connectMs: 10_000, headersMs: 65_000 };

export interface ApiConnectionOptions {
  /** Path of a kubeconfig file; empty = none. */
  readonly kubeconfig: string;
  /** URL of the server, which overrides that of the kubeconfig; empty = none. */
  readonly master: string;
  /** Version for the User-Agent. */
  readonly version: string;
  readonly log: Log;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Folder of the pod's token and cluster CA. */
  readonly serviceAccountDir?: string;
  readonly timeouts?: Partial<ConnectionTimeouts>;
}

/**
 * Opens a connection to the API server of the kubeconfig, or of the cluster around this pod. Does not connect yet.
 * Throws an Error that names file and fault when the configuration is unusable.
 */
export const openConnection = async (options: ApiConnectionOptions): Promise<ApiConnection> => {
  const endpoint = await findEndpoint(options);
  return new PooledConnection(endpoint, options);
};

const findEndpoint = async (options: ApiConnectionOptions): Promise<ApiEndpoint> => {
  const { kubeconfig, master, log } = options;
  if (kubeconfig !== '') {
    const { kubeconfigEndpoint } = await import('./kubeconfig.ts'); // loads the client library
    return kubeconfigEndpoint(kubeconfig, master, log);
  }
  if (master !== '') return masterEndpoint(master);
  return inClusterEndpoint(options.env ?? process.env, options.serviceAccountDir, log);
};

/** Identity and agent for a request. */
interface Prepared extends Identity {
  readonly agent: Agent;
}

class PooledConnection implements ApiConnection {
  readonly server: string;
  readonly #endpoint: ApiEndpoint;
  readonly #log: Log;
  readonly #userAgent: string;
  readonly #timeouts: ConnectionTimeouts;
  readonly #watch: RequestWatch;
  #prepared: Prepared | undefined;
  #preparing: Promise<Prepared> | undefined;

  constructor(endpoint: ApiEndpoint, { version, log, timeouts }: ApiConnectionOptions) {
    this.#endpoint = endpoint;
    this.server = withoutCredentials(endpoint.server);
    this.#log = log;
    this.#userAgent = `pointsman/${version}`;
    this.#timeouts = { ...DEFAULT_TIMEOUTS, ...timeouts };
    this.#watch = new RequestWatch(endpoint.server.host);
  }

  listen(listener: RequestListener): void {
    this.#watch.listen(listener);
  }

  request(path: string, options: RequestOptions): Promise<IncomingMessage> {
    const { method = 'GET', streams = false } = options;
    return this.#watch.follow(method, streams, this.#request(path, options));
  }

  async #request(path: string, options: RequestOptions): Promise<IncomingMessage> {
    const prepared = await abortable(this.#prepare(), options.signal);
    const response = await this.#send(path, options, prepared).catch((error: unknown) => {
      if (error instanceof StaleConnection && !options.signal.aborted) return this.#send(path, options, prepared);
      throw error;
    });
    if (response.statusCode === 401) this.#endpoint.forget();
    return response;
  }

  close(): void {
    this.#prepared?.agent.destroy();
  }

  /** Refreshes the identity for each request, once for concurrent ones: an exec plugin may have to run. */
  #prepare(): Promise<Prepared> {
    this.#preparing ??= this.#refresh().finally(() => {
      this.#preparing = undefined;
    });
    return this.#preparing;
  }

  async #refresh(): Promise<Prepared> {
    const previous = this.#prepared;
    try {
      this.#prepared = await this.#renew(previous);
    } catch (error) {
      if (previous === undefined) throw error;
      // certificate and key may be rotated in two steps; the last pair may still be valid
      this.#log.warn({ error: describeError(error) }, 'credentials cannot be used, using the last ones');
      return previous;
    }
    return this.#prepared;
  }

  async #renew(previous: Prepared | undefined): Promise<Prepared> {
    const identity = await this.#endpoint.identify();
    if (previous !== undefined && isDeepStrictEqual(identity.tls, previous.tls)) {
      return { ...previous, headers: identity.headers };
    }
    checkTls(identity.tls, this.server);
    const agent = await createAgent(this.#endpoint, identity.tls);
    if (previous !== undefined) {
      retireAgent(previous.agent);
      this.#log.info({ server: this.server }, 'certificates changed: new connections use the new ones');
    }
    return { ...identity, agent };
  }

  #send(path: string, options: RequestOptions, { headers, agent }: Prepared): Promise<IncomingMessage> {
    const { signal, method = 'GET', body, contentType = 'application/json' } = options;
    const base = this.#endpoint.server;
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return sendRequest(new URL(base.pathname.replace(/\/$/, '') + path, base), {
      agent,
      method,
      payload,
      signal,
      timeouts: this.#timeouts,
      headers: {
        accept: 'application/json',
        'user-agent': this.#userAgent,
        ...(payload === undefined ? {} : { 'content-type': contentType }),
        ...headers,
      },
    });
  }
}

/** URL without user and password, for messages. */
const withoutCredentials = (server: URL): string =>
  Object.assign(new URL(server), { username: '', password: '' }).href.replace(/\/$/, '');

/** Rejects when aborted, for a promise without a signal; the promise itself goes on. */
const abortable = async <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted();
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
};
