/** Requests and responses of the servers: shapes and constructors. */
import type { Readable } from 'node:stream';

export interface HttpRequest {
  readonly query: URLSearchParams;
  /** Header Accept; empty when absent. */
  readonly accept: string;
  /** Header Host; empty when absent. */
  readonly host: string;
  /** Header Authorization; empty when absent. Never logged. */
  readonly authorization: string;
  /** Address of the client. */
  readonly peer: string;
  /** Body of the request; empty but for routes with a method of their own. */
  readonly body: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Response whose body several clients may read at a time. */
export interface SharedAnswer extends Omit<Answer, 'body'> {
  readonly body: Buffer;
}

/** Response whose body is too large to be held in memory. */
export interface StreamedAnswer extends Omit<Answer, 'body'> {
  readonly body: Readable;
}

export type HttpResponse = Answer | SharedAnswer | StreamedAnswer;

export type Route = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

/** Routes by path for GET and HEAD, by `PUT /path` for another method. */
export type Routes = ReadonlyMap<string, Route>;

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

/** True where the client asks for text: by `?format=text`, or by an Accept header with text/plain and without JSON. */
export const wantsText = ({ query, accept }: Pick<HttpRequest, 'query' | 'accept'>): boolean => {
  const format = query.get('format');
  return format === 'text' || (format !== 'json' && accept.includes('text/plain') && !accept.includes('json'));
};
