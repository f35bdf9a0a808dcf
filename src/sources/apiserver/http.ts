/** One HTTP request up to the response headers, with a time-out for each step. */
import http, { type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';

export interface ConnectionTimeouts {
  /** Time-out for TCP, TLS and a proxy's CONNECT. */
  readonly connectMs: number;
  /** Time-out from the request to the response headers. The API server itself gives up after 60 s. */
  readonly headersMs: number;
}

export interface OutgoingRequest {
  readonly agent: Agent;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string | undefined;
  readonly timeouts: ConnectionTimeouts;
  readonly signal: AbortSignal;
}

/** The server closed a pooled connection at the moment of reuse; it never saw the request. */
export class StaleConnection extends Error {
  override readonly name = 'StaleConnection';
}

/** The server accepted the connection and does not answer this request. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** Idle time before TCP keep-alive probes, which detect a vanished peer. */
const TCP_KEEP_ALIVE_MS = 30_000;

export const sendRequest = (url: URL, options: OutgoingRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const { agent, method, headers, payload, timeouts, signal } = options;
    const client = url.protocol === 'http:' ? http : https;
    const request = client.request(url, { agent, method, headers: { ...headers }, signal });
    limitSteps(request, url.protocol === 'https:', timeouts);
    request.on('error', (error: NodeJS.ErrnoException) => {
      const stale = request.reusedSocket && method === 'GET' && error.code === 'ECONNRESET';
      reject(stale ? new StaleConnection(error.message, { cause: error }) : error);
    });
    request.on('response', (response) => {
      response.on('error', () => undefined); // the body's reader gets the error
      resolve(response);
    });
    request.end(payload);
  });

const limitSteps = (request: ClientRequest, isSecure: boolean, timeouts: ConnectionTimeouts): void => {
  const giveUp = (error: Error, ms: number): NodeJS.Timeout => setTimeout(() => request.destroy(error), ms);
  const { connectMs, headersMs } = timeouts;
  let timer = giveUp(new Error(`no connection within ${connectMs} ms`), connectMs);
  const stop = (): void => clearTimeout(timer);
  request.on('response', stop);
  request.on('close', stop);
  request.on('socket', (socket) => {
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
    const connected = (): void => {
      stop();
      if (!request.destroyed) timer = giveUp(new NoAnswer(`no answer within ${headersMs} ms`), headersMs);
    };
    // a proxy's tunnel is connected already, and TLS through it has yet to begin
    if (request.reusedSocket || (!isSecure && !socket.connecting)) connected();
    else socket.once(isSecure ? 'secureConnect' : 'connect', connected);
  });
};
