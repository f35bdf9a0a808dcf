/**
 * Listening socket of a health check: responds to any request, and retries to listen with a back-off.
 *
 * Any client that reaches the node may connect, so requests and connections are bounded in time, size and number.
 */
import { createServer, type Server } from 'node:http';
import type { Clock } from '../dataplane/clock.ts';
import type { Connections } from './connections.ts';
import type { Answer } from './http.ts';
import { ConnectionMutex } from './mutex.ts';

export interface ListenerOptions {
  readonly address: string;
  readonly port: number;
  /** Response to any path and method; undefined closes the connection. */
  readonly answer: () => Answer | undefined;
  /** Connections of all listeners together. */
  readonly connections: Connections;
  /** Time for a request to arrive whole. */
  readonly requestMs: number;
  /** Longest silence of a connection. */
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

  /** Ends the back-off, if one is under way, and tries to listen. */
  retry(): void {
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#options.clock.clearTimeout(this.#timer);
    this.#listen();
  }

  /** Closes the socket and all connections for good. The port is free on return; resolves when all connections have ended. */
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
    // an IPv6 socket for IPv4 too would take the port of the other family's listener
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
  const mutex = new ConnectionMutex();
  const server = createServer(limits, (request, response) => {
    const { socket } = request;
    connections.touch(socket);
    if (!mutex.acquire(request, response)) return;
    const said = answer();
    if (said === undefined) {
      socket.destroy();
      return;
    }
    // the length is for HEAD too, whose response has no body
    response.writeHead(said.status, { ...said.headers, 'Content-Length': Buffer.byteLength(said.body) });
    response.end(said.body);
  });
  server.timeout = idleMs; // bounds clients too that send requests and never read the responses
  server.on('connection', (socket) => connections.add(socket));
  return server;
};
