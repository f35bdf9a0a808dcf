/**
 * Sending of responses. A large body goes in pieces as the client reads: a connection holds one piece, and the body is kept
 * once for all its readers. Clients that stop reading, or read for too long, are disconnected.
 */
import type { ServerResponse } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { Held } from './held.ts';
import type { Answer, HttpResponse } from './http.ts';

export interface SendLimits {
  readonly held: Held;
  /** Longest time in which a client reads nothing. */
  readonly stallMs: number;
  /** Longest time in which a client reads a kept body. */
  readonly wholeMs: number;
}

const PIECE_BYTES = 65_536;
/** Largest body that is not counted as kept: every connection may hold one. */
const SMALL_BYTES = 16_384;
const RETRY_AFTER_S = 10;

export const send = (response: ServerResponse, said: HttpResponse, limits: SendLimits): void => {
  const { status, headers, body } = said;
  // the server sets its own time-out again with the next request
  response.setTimeout(limits.stallMs, () => response.destroy());
  if (body instanceof Readable) {
    response.writeHead(status, headers);
    // an error means that the client is gone
    pipeline(body, response, () => undefined);
    return;
  }
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  // the length is for HEAD too, whose response has no body
  const head = { ...headers, 'Content-Length': bytes.length };
  if (response.req.method === 'HEAD' || bytes.length <= SMALL_BYTES) response.writeHead(status, head).end(bytes);
  else if (response.destroyed) return;
  else if (limits.held.take(bytes)) sendKept(response, { status, headers: head, body: bytes }, limits);
  else send(response, FULL, limits);
};

const FULL: Answer = {
  status: 503,
  headers: {
    'Content-Type': 'text/plain; charset=utf-8',
    'X-Content-Type-Options': 'nosniff',
    'Retry-After': String(RETRY_AFTER_S),
  },
  body: 'too much is kept for clients that have not read it yet; try again later\n',
};

interface Kept {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: Buffer;
}

const sendKept = (response: ServerResponse, { status, headers, body }: Kept, { held, wholeMs }: SendLimits): void => {
  const late = setTimeout(() => response.destroy(), wholeMs).unref();
  response.once('close', () => {
    clearTimeout(late);
    held.release(body);
  });
  response.writeHead(status, headers);
  pipeline(Readable.from(piecesOf(body), { highWaterMark: 1 }), response, () => undefined);
};

function* piecesOf(body: Buffer): Iterable<Buffer> {
  for (let from = 0; from < body.length; from += PIECE_BYTES) yield body.subarray(from, from + PIECE_BYTES);
}
