/**
 * One HTTP request up to the headers of its answer, with a time-out for each step on the way there.
 */
import http, { type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';

export interface ConnectionTimeouts {
  /** To establish TCP, TLS and what a proxy may want. */
  readonly connectMs: number;
  /** From the request to the headers of the answer. The API server itself gives up after 60 s. */
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

/** The server closed a pooled connection just as we took it: it never saw the request. */
export class StaleConnection extends Error {
  override readonly name = 'StaleConnection';
}

/** Connected, and no word: the server is there, but does not answer this. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** A peer that is gone is noticed after this and a few probes, even if nothing is ever sent. */
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
      response.on('error', () => undefined); // whoever reads it meets the error there
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
    // a proxy's tunnel comes connected, though TLS through it is still to begin
    if (request.reusedSocket || (!isSecure && !socket.connecting)) connected();
    else socket.once(isSecure ? 'secureConnect' : 'connect', connected);
  });
};
