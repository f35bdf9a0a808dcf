/** One HTTP exchange: the request parsed as an API request, JSON and Status bodies written. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Verb } from './faults.ts';
import type { Query } from './list.ts';
import { type ResourcePath, readTarget } from './resources.ts';
import { reviewResource } from './reviews.ts';
import { badRequest, type StatusError } from './status.ts';

/** Request as recorded for tests. */
export interface LoggedRequest {
  readonly at: number;
  readonly method: string;
  readonly path: string;
  readonly query: Query;
  readonly verb: Verb;
  /** Plural of the resource; empty for other paths. */
  readonly resource: string;
  readonly userAgent: string;
  readonly authorization: string;
}

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly asked: LoggedRequest;
  readonly target: ResourcePath | undefined;
}

const WRITES: Readonly<Record<string, Verb>> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

const verbOf = (method: string, target: ResourcePath | undefined, query: Query, isReview: boolean): Verb => {
  if (isReview && method === 'POST') return 'create';
  if (target === undefined) return 'other';
  if (method !== 'GET') return WRITES[method] ?? 'other';
  if (target.name !== '') return 'get';
  return query.watch === 'true' || query.watch === '1' ? 'watch' : 'list';
};

export const readExchange = (request: IncomingMessage, response: ServerResponse, at: number): Exchange => {
  const url = new URL(request.url ?? '/', 'http://lab');
  const query: Query = Object.fromEntries(url.searchParams);
  const target = readTarget(url.pathname);
  const method = request.method ?? 'GET';
  const review = reviewResource(url.pathname);
  const asked: LoggedRequest = {
    at,
    method,
    path: url.pathname,
    query,
    verb: verbOf(method, target, query, review !== undefined),
    resource: target?.type.plural ?? review ?? '',
    userAgent: request.headers['user-agent'] ?? '',
    authorization: request.headers.authorization ?? '',
  };
  return { request, response, asked, target };
};

export const readBody = async (request: IncomingMessage): Promise<unknown> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (error) {
    throw badRequest(`the body is no JSON: ${(error as Error).message}`);
  }
};

export const sendBody = (response: ServerResponse, code: number, body: unknown): void => {
  const text = typeof body === 'string';
  response.writeHead(code, { 'content-type': text ? 'text/plain; charset=utf-8' : 'application/json' });
  response.end(text ? body : JSON.stringify(body));
};

export const sendStatus = (response: ServerResponse, { status }: StatusError): void => {
  const retryAfter = status.details?.retryAfterSeconds;
  if (retryAfter !== undefined) response.setHeader('retry-after', String(retryAfter));
  sendBody(response, status.code, status);
};
