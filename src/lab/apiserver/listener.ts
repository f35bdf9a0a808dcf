/**
 * Listeners of the server: TCP (plain or TLS) and a unix socket, with one handler.
 *
 * Owns sockets and their count; requests are not interpreted here.
 */
import { rmSync } from 'node:fs';
import http, { type RequestListener, type Server } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

export interface TlsOptions {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** CA of client certificates, which are required with it. */
  readonly clientCa?: string | Buffer;
}

export interface ListenOptions {
  readonly host: string;
  /** Port; 0 = any free port, which is kept across restarts. */
  readonly port: number;
  /** Path of a unix socket, which is reachable from every network namespace. */
  readonly socketPath: string;
  readonly tls: TlsOptions | undefined;
}

/** Keep-alive time of Go's server. Node.js would close a client's pooled connections after five seconds. */
const KEEP_ALIVE_MS = 90_000;

export class ApiListener {
  readonly #options: ListenOptions;
  readonly #handler: RequestListener;
  readonly #sockets = new Set<Socket>();
  #servers: readonly Server[] = [];
  #port: number;
  #accepted = 0;

  constructor(options: ListenOptions, handler: RequestListener) {
    this.#options = options;
    this.#handler = handler;
    this.#port = options.port;
  }

  get port(): number {
    return this.#port;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** Number of accepted connections. */
  get acceptedConnections(): number {
    return this.#accepted;
  }

  async open(): Promise<void> {
    const { host, socketPath, tls } = this.#options;
    const tcp = tls === undefined ? http.createServer(this.#handler) : https.createServer(secure(tls), this.#handler);
    await this.#listen(tcp, { host, port: this.#port });
    this.#port = (tcp.address() as AddressInfo).port;
    if (socketPath === '') return;
    rmSync(socketPath, { force: true });
    await this.#listen(http.createServer(this.#handler), { path: socketPath });
  }

  async #listen(server: Server, where: { host: string; port: number } | { path: string }): Promise<void> {
    server.keepAliveTimeout = KEEP_ALIVE_MS;
    server.requestTimeout = 0;
    server.on('connection', (socket: Socket) => {
      this.#accepted += 1;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.#servers = [...this.#servers, server];
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const servers = this.#servers;
    this.#servers = [];
    const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    this.cutConnections();
    await Promise.all(closed);
  }
}

const secure = ({ cert, key, clientCa }: TlsOptions): https.ServerOptions => ({
  cert,
  key,
  ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
});
