/**
 * HTTP server with routes by exact path, for the metrics and the health server.
 *
 * Any client that reaches the node may connect, so requests and connections are bounded in time, size and number. A server
 * that cannot listen logs it once and tries again, as the process before may be about to end.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BaseLogger } from 'pino';
import { type Clock, systemClock } from '../dataplane/clock.ts';
import { joinHostPort } from '../model/address.ts';
import { Connections } from './connections.ts';
import { Held } from './held.ts';
import { type Answer, type HttpResponse, type Routes, text } from './http.ts';
import { ConnectionMutex } from './mutex.ts';
import { type SendLimits, send } from './sending.ts';

export interface ServerOptions {
  /** Name for the log: `metrics`, `health`. */
  readonly name: string;
  /** `ip:port`. */
  readonly address: string;
  readonly routes: Routes;
  /** True to throw where the server cannot listen, instead of a retry. */
  readonly hardFail: boolean;
  readonly log: Pick<BaseLogger, 'debug' | 'info' | 'error'>;
  /** Called when the server cannot listen at its start. */
  readonly onProblem?: (error: string) => void;
  readonly clock?: Clock;
  readonly connections?: number;
  readonly requestMs?: number;
  readonly sending?: Partial<SendLimits>;
  /** Bounds the kernel's send buffer, in bytes, of all connections that the listening socket with this descriptor accepts. */
  readonly limitSendBuffer?: (fd: number, bytes: number) => void;
}

const RETRY_MS = 5_000;
const MAX_HEADER_BYTES = 8_192;
const MAX_BODY_BYTES = 1_024;
const REQUEST_MS = 5_000;
/** Longest silence of a connection: more than scrapers and probes usually wait between two requests. */
const IDLE_MS = 90_000;
const CONNECTIONS = 128;
/** Bytes of hundreds of the usual pages. */
const HELD_BYTES = 32 * 2 ** 20;
const SEND_BUFFER_BYTES = 131_072;
const STALL_MS = 10_000;
/** Longest time-out of usual scrapers. */
const WHOLE_MS = 60_000;

/** Bound on bodies kept for slow clients. */
export const heldForClients = (): Held => new Held(HELD_BYTES);

export class RouteServer {
  readonly #options: ServerOptions;
  readonly #clock: Clock;
  readonly #server: Server;
  #timer: unknown;
  #hasFailed = false;
  #isStopped = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#server = listener(options);
  }

  /** Listening address `ip:port`; undefined while the server does not listen. */
  get address(): string | undefined {
    const bound = this.#server.address() as AddressInfo | null;
    return bound === null ? undefined : joinHostPort(bound.address, bound.port);
  }

  /** Tries to listen; resolves after the first attempt. Throws Error when that failed under `hardFail`. */
  async start(): Promise<void> {
    const error = await this.#listen();
    if (error !== undefined) this.#options.onProblem?.(error.message);
    if (error !== undefined && this.#options.hardFail) {
      const { name, address } = this.#options;
      throw new Error(`the ${name} server cannot listen on ${address}: ${error.message}`);
    }
    this.#settle(error);
  }

  /** Stops for good and closes all connections. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#clock.clearTimeout(this.#timer);
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #listen(): Promise<Error | undefined> {
    const { host, port } = splitHostPort(this.#options.address);
    return new Promise((resolve) => {
      const settle = (error?: Error): void => {
        this.#server.off('error', settle);
        this.#server.off('listening', settle);
        resolve(error);
      };
      this.#server.once('error', settle);
      this.#server.once('listening', settle);
      this.#server.listen({ host, port });
    });
  }

  #bindSendBuffers(): void {
    const { _handle: handle } = this.#server as unknown as WithHandle;
    if (handle?.fd !== undefined && handle.fd >= 0) this.#options.limitSendBuffer?.(handle.fd, SEND_BUFFER_BYTES);
  }

  #settle(error: Error | undefined): void {
    const { name, address, log } = this.#options;
    if (error === undefined) {
      this.#bindSendBuffers();
      log[this.#hasFailed ? 'info' : 'debug']({ address: this.address }, `the ${name} server listens`);
      // later errors, such as a lack of file descriptors, are logged: the server goes on
      this.#server.on('error', (later) => log.error({ error: later.message }, `the ${name} server has trouble`));
      if (this.#isStopped) void this.#server.close();
      return;
    }
    if (!this.#hasFailed) {
      log.error({ address, error: error.message }, `the ${name} server cannot listen, trying again every 5 s`);
    }
    this.#hasFailed = true;
    if (this.#isStopped) return;
    this.#timer = this.#clock.setTimeout(() => {
      void this.#listen().then((again) => this.#settle(again));
    }, RETRY_MS);
  }
}

/** Server with its handle: Node.js has no public way to the descriptor. */
interface WithHandle {
  readonly _handle?: { readonly fd?: number } | null;
}

const splitHostPort = (address: string): { readonly host: string; readonly port: number } => {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
};

const listener = (options: ServerOptions): Server => {
  const { name, routes, log, connections = CONNECTIONS, requestMs = REQUEST_MS } = options;
  const { held = heldForClients(), stallMs = STALL_MS, wholeMs = WHOLE_MS } = options.sending ?? {};
  const open = new Connections(connections);
  const mutex = new ConnectionMutex();
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: requestMs,
    connectionsCheckingInterval: requestMs / 2,
    keepAliveTimeout: IDLE_MS,
  };
  const server = createServer(limits, (request, response) => {
    open.touch(request.socket);
    if (!mutex.acquire(request, response)) return;
    answer(routes, request)
      .catch((error: unknown) => {
        log.error({ path: request.url, error: String(error) }, `the ${name} server cannot answer`);
        return text(500, 'internal error\n');
      })
      .then((said) => send(response, said, { held, stallMs, wholeMs }));
  });
  server.timeout = IDLE_MS;
  server.on('connection', (socket) => open.add(socket));
  return server;
};

const answer = async (routes: Routes, request: IncomingMessage): Promise<HttpResponse> => {
  // split by hand, as URL refuses a path such as `//`
  const [path = '', search = ''] = (request.url ?? '').split('?', 2);
  const { method = '' } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  const route = path.startsWith('/') ? routes.get(isRead ? path : `${method} ${path}`) : undefined;
  if (route === undefined) return refuse(routes, path);
  const body = isRead ? '' : await bodyOf(request);
  if (body === undefined) return text(413, `more than ${MAX_BODY_BYTES} bytes\n`);
  const { accept = '', host = '', authorization = '' } = request.headers;
  const peer = request.socket.remoteAddress ?? '';
  return route({ query: new URLSearchParams(search), accept, host, authorization, peer, body });
};

const refuse = (routes: Routes, path: string): Answer => {
  const others = [...routes.keys()].flatMap((key) => (key.endsWith(` ${path}`) ? (key.split(' ')[0] ?? []) : []));
  const allowed = [...(routes.has(path) ? ['GET', 'HEAD'] : []), ...others];
  if (allowed.length > 0) {
    const refusal = text(405, 'method not allowed\n');
    return { ...refusal, headers: { ...refusal.headers, Allow: allowed.join(', ') } };
  }
  const paths = [...routes.keys()].filter((key) => key.startsWith('/'));
  return text(404, `404 page not found; there is: ${paths.join(' ')}\n`);
};

/** Body of a request; undefined for one of more than MAX_BODY_BYTES. */
const bodyOf = async (request: IncomingMessage): Promise<string | undefined> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
};
