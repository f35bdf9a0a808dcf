/**
 * One listening socket of a health check: answers whatever is asked, tries again where it cannot listen.
 *
 * Anybody who reaches the node may talk to it, so what a client can hold is bounded in time, in size and in number.
 */
import { createServer, type Server } from 'node:http';
import type { Clock } from '../dataplane/pacer.ts';
import type { Connections } from './connections.ts';
import { Turns } from './turns.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  /** To any path and any method; undefined = nothing to say, the connection is closed. */
  readonly answer: () => Answer | undefined;
  /** Of all listeners together. */
  readonly connections: Connections;
  /** A request that has not arrived whole by then is given up. */
  readonly requestMs: number;
  /** How long a connection may be silent. */
  readonly idleMs: number;
  readonly clock: Clock;
  readonly onError: (message: string) => void;
}

const MAX_HEADER_BYTES = 8_192;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

export class HealthListener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  #retryMs = FIRST_RETRY_MS;
  #timer: unknown;
  #isWaiting = false;
  #isClosed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = serve(options);
    this.#server.on('error', (error) => this.#failed(error));
    this.#listen();
  }

  /** Now instead of when the back-off is over, if it could not listen. */
  retry(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#options.clock.clearTimeout(this.#timer);
    this.#listen();
  }

  /** For good, with every connection. The port is free when it returns; resolves when all has ended. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#isWaiting = false;
    this.#options.clock.clearTimeout(this.#timer);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    return closed;
  }

  #listen(): void {
    const { address, port } = this.#options;
    // an IPv6 socket that took IPv4 too would be in the way of the other family's
    this.#server.listen({ host: address, port, ipv6Only: address.includes(':') });
  }

  #failed(error: Error): void {
    if (this.#isClosed) return;
    if (!this.#server.listening) {
      this.#isWaiting = true;
      this.#timer = this.#options.clock.setTimeout(() => this.retry(), this.#retryMs);
      this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    }
    this.#options.onError(error.message);
  }
}

const serve = ({ answer, connections, requestMs, idleMs }: ListenerOptions): Server => {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: requestMs,
    connectionsCheckingInterval: requestMs / 2,
    keepAliveTimeout: idleMs,
  };
  const turns = new Turns();
  const server = createServer(limits, (request, response) => {
    const { socket } = request;
    connections.touch(socket);
    if (!turns.begin(request, response)) return;
    const said = answer();
    if (said === undefined) {
      socket.destroy();
      return;
    }
    // with a length also HEAD is told how much it does not get
    response.writeHead(said.status, { ...said.headers, 'Content-Length': Buffer.byteLength(said.body) });
    response.end(said.body);
  });
  server.timeout = idleMs; // also one that asks and never reads the answers
  server.on('connection', (socket) => connections.add(socket));
  return server;
};
