/**
 * The way to the API server: one pool of connections, and a request over it.
 *
 * Owns sockets, their time-outs, and which credentials and certificates the next connection uses. Knows nothing of
 * Kubernetes objects, lists or watches; where the server is and who we are, endpoints say.
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
  /** Sent as JSON. */
  readonly body?: unknown;
  /** What kind of JSON the body is. */
  readonly contentType?: string;
  /** The answer goes on for as long as somebody listens: how long it took says nothing. */
  readonly streams?: boolean;
}

export interface ApiConnection {
  /** The server's URL, for messages. */
  readonly server: string;
  /** From now on this one hears of every request. */
  listen(listener: RequestListener): void;
  /** The answer once its headers are here, whatever its status. Rejects when there is none in time, or when aborted. */
  request(path: string, options: RequestOptions): Promise<IncomingMessage>;
  /** Closes the pool and what is in it. Abort requests first: they are cut off otherwise. */
  close(): void;
}

const DEFAULT_TIMEOUTS: ConnectionTimeouts = { connectMs: 10_000, headersMs: 65_000 };

export interface ApiConnectionOptions {
  /** A kubeconfig file; empty = none. */
  readonly kubeconfig: string;
  /** The server's URL, overriding all others; empty = none. */
  readonly master: string;
  /** Our own version, for the User-Agent. */
  readonly version: string;
  readonly log: Log;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its token and its cluster's CA. */
  readonly serviceAccountDir?: string;
  readonly timeouts?: Partial<ConnectionTimeouts>;
}

/**
 * Finds the API server: the kubeconfig's, or the one of the cluster that this pod runs in. Throws an Error that names
 * file and fault when the configuration cannot be used; does not connect.
 */
export const openConnection = async (options: ApiConnectionOptions): Promise<ApiConnection> => {
  const endpoint = await findEndpoint(options);
  return new PooledConnection(endpoint, options);
};

const findEndpoint = async (options: ApiConnectionOptions): Promise<ApiEndpoint> => {
  const { kubeconfig, master, log } = options;
  if (kubeconfig !== '') {
    const { kubeconfigEndpoint } = await import('./kubeconfig.ts'); // brings the client library
    return kubeconfigEndpoint(kubeconfig, master, log);
  }
  if (master !== '') return masterEndpoint(master);
  return inClusterEndpoint(options.env ?? process.env, options.serviceAccountDir, log);
};

/** Everything that a request needs besides what it asks. */
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

  /** Afresh for each request, though once for those that start together: an exec plugin may be behind it. */
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
      // certificate and key are not swapped in one step everywhere; those we have may well be good for another while
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

/** Without user and password, which an URL may hold. */
const withoutCredentials = (server: URL): string =>
  Object.assign(new URL(server), { username: '', password: '' }).href.replace(/\/$/, '');

/** For waits that cannot be aborted themselves: they go on, but nobody waits for them any more. */
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
