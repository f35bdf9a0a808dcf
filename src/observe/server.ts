/**
 * A small HTTP server: routes by exact path, mostly GET and HEAD, text out. The metrics and the health server are two of it.
 *
 * Whoever reaches it may talk to it, so what a client can hold is bounded in time, in size and in number. Where it cannot
 * listen it says so once and tries again, as the one before us may only be about to go.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BaseLogger } from 'pino';
import { type Clock, systemClock } from '../dataplane/pacer.ts';
import { joinHostPort } from '../model/address.ts';
import { Connections } from './connections.ts';
import type { Answer } from './health-listener.ts';
import { Held } from './held.ts';
import { type Said, type SendLimits, send } from './sending.ts';
import { Turns } from './turns.ts';

export interface Question {
  readonly query: URLSearchParams;
  /** The header Accept; empty when there is none. */
  readonly accept: string;
  /** The header Host; empty when there is none. */
  readonly host: string;
  /** The header Authorization; empty when there is none. For nobody's log. */
  readonly authorization: string;
  /** The address that asks. */
  readonly peer: string;
  /** What was sent along; empty but for routes with a method of their own. */
  readonly body: string;
}

export type Route = (question: Question) => Said | Promise<Said>;

/** By path, for GET and HEAD; by `PUT /path` for another method. */
export type Routes = ReadonlyMap<string, Route>;

export interface ServerOptions {
  /** For the log: `metrics`, `health`. */
  readonly name: string;
  /** `ip:port`. */
  readonly address: string;
  readonly routes: Routes;
  /** Not being able to listen is an error instead of something to try again. */
  readonly hardFail: boolean;
  readonly log: Pick<BaseLogger, 'debug' | 'info' | 'error'>;
  /** It could not listen when it was started. */
  readonly onProblem?: (error: string) => void;
  readonly clock?: Clock;
  readonly connections?: number;
  readonly requestMs?: number;
  readonly sending?: Partial<SendLimits>;
  /** Bounds what the kernel keeps of a connection, in bytes, for all that the listening socket with this descriptor accepts. */
  readonly limitSendBuffer?: (fd: number, bytes: number) => void;
}

const RETRY_MS = 5_000;
const MAX_HEADER_BYTES = 8_192;
const MAX_BODY_BYTES = 1_024;
const REQUEST_MS = 5_000;
/** Longer than scrapers and probes usually wait between two requests. */
const IDLE_MS = 90_000;
const CONNECTIONS = 128;
/** Room for hundreds of the usual pages. */
const HELD_BYTES = 32 * 2 ** 20;
const SEND_BUFFER_BYTES = 131_072;
const STALL_MS = 10_000;
/** As long as the most patient scrapers wait. */
const WHOLE_MS = 60_000;

/** The bound on what slow clients may hold. */
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

  /** Where it listens: `ip:port`; undefined while it does not. */
  get address(): string | undefined {
    const bound = this.#server.address() as AddressInfo | null;
    return bound === null ? undefined : joinHostPort(bound.address, bound.port);
  }

  /** Resolves after the first attempt. Throws when that failed and is not to be made up for. */
  async start(): Promise<void> {
    const error = await this.#listen();
    if (error !== undefined) this.#options.onProblem?.(error.message);
    if (error !== undefined && this.#options.hardFail) {
      const { name, address } = this.#options;
      throw new Error(`the ${name} server cannot listen on ${address}: ${error.message}`);
    }
    this.#settle(error);
  }

  /** For good, with every connection. */
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
      // such as for want of file descriptors: not the end of the world
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

/** Node.js has no other way to it. */
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
  const turns = new Turns();
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: requestMs,
    connectionsCheckingInterval: requestMs / 2,
    keepAliveTimeout: IDLE_MS,
  };
  const server = createServer(limits, (request, response) => {
    open.touch(request.socket);
    if (!turns.begin(request, response)) return;
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

const answer = async (routes: Routes, request: IncomingMessage): Promise<Said> => {
  // not by URL: a path such as `//` is none to it
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

/** Undefined when it is too long. */
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

const NO_SNIFF = { 'X-Content-Type-Options': 'nosniff' };

export const text = (status: number, body: string): Answer => ({
  status,
  headers: { 'Content-Type': 'text/plain; charset=utf-8', ...NO_SNIFF },
  body,
});

export const json = (status: number, value: unknown): Answer => ({
  status,
  headers: { 'Content-Type': 'application/json', ...NO_SNIFF },
  body: JSON.stringify(value),
});

/** A page for people is asked for, and not one for machines. */
export const wantsText = ({ query, accept }: Pick<Question, 'query' | 'accept'>): boolean => {
  const format = query.get('format');
  return format === 'text' || (format !== 'json' && accept.includes('text/plain') && !accept.includes('json'));
};
