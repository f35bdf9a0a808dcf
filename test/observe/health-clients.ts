/** Those who ask for a Service's health: balancers, and clients that mean no good. Real sockets throughout. */
import { Agent, request } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { HealthCheck, HealthCheckChanges } from '../../src/model/health-checks.ts';

export interface Reply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface Asking {
  readonly host?: string;
  readonly path?: string;
  readonly method?: string;
  readonly agent?: Agent;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request; on a connection of its own unless there is an agent. */
export const ask = (
  port: number,
  { host = '127.0.0.1', path = '/', method = 'GET', agent, body, headers = {} }: Asking = {},
) =>
  new Promise<Reply>((resolve, reject) => {
    const options = {
      host,
      port,
      path,
      method,
      headers: { ...headers },
      agent: agent ?? new Agent({ keepAlive: false }),
    };
    const sent = request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() });
      });
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });

/** `status weight`, or the error's code. */
export const heard = async (port: number, host = '127.0.0.1'): Promise<string> => {
  try {
    const { status, headers } = await ask(port, { host });
    return `${status} ${headers['x-load-balancing-endpoint-weight']}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
};

/** Listens on a port of the kernel's choice, or on the given one. */
export const occupy = (host = '127.0.0.1', port = 0): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: host.includes(':') }, () => resolve(server));
  });

export const portOf = (server: Server): number => (server.address() as AddressInfo).port;

export const vacate = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
  });

/** So many ports that nobody has at the moment. */
export const freePorts = async (count: number): Promise<readonly number[]> => {
  const servers = await Promise.all(Array.from({ length: count }, () => occupy('0.0.0.0')));
  const ports = servers.map(portOf);
  await Promise.all(servers.map(vacate));
  return ports;
};

/** A connection by hand, and everything that came over it. */
export interface Line {
  readonly socket: Socket;
  readonly text: () => string;
  /** Resolves once the other side has closed. */
  readonly closed: Promise<void>;
}

export const dial = (port: number, host = '127.0.0.1'): Promise<Line> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host });
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const closed = new Promise<void>((ended) => {
      socket.once('close', () => ended());
    });
    socket.once('error', reject); // and later ones are the closing itself
    socket.once('connect', () => resolve({ socket, text: () => text, closed }));
  });

/** What one update says: port and local endpoints by Service, `ns/web` unless there is a slash; undefined = gone. */
export const changes = (
  checks: Readonly<Record<string, readonly [port: number, localEndpoints: number, createdAt?: number] | undefined>>,
): HealthCheckChanges =>
  new Map(
    Object.entries(checks).map(([service, check]): [string, HealthCheck | undefined] => {
      if (check === undefined) return [service, undefined];
      const [port, localEndpoints, createdAt = 0] = check;
      const owners = [`${service}:p/TCP`, `${service}:q/UDP`];
      return [service, { service, port, localEndpoints, createdAt, owners }];
    }),
  );

/** Time that passes when told to; only timers, no sockets. */
export class HandClock {
  #now = 0;
  readonly #timers = new Map<number, { readonly at: number; readonly run: () => void }>();
  #last = 0;

  now(): number {
    return this.#now;
  }

  setTimeout(run: () => void, ms: number): number {
    this.#last += 1;
    this.#timers.set(this.#last, { at: this.#now + ms, run });
    return this.#last;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  /** Milliseconds until each armed timer fires. */
  get armed(): readonly number[] {
    return [...this.#timers.values()].map(({ at }) => at - this.#now);
  }

  pass(ms: number): void {
    this.#now += ms;
    for (const [timer, { at, run }] of [...this.#timers]) {
      if (at > this.#now) continue;
      this.#timers.delete(timer);
      run();
    }
  }
}
