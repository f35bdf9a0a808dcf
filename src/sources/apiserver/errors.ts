/** Errors of an API server, and their classification. */
import { dig, digText, isRecord } from '../raw.ts';
import { NoAnswer } from './http.ts';

/** Error answer: an HTTP status other than 200 or 201, or an ERROR event of a watch. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: number;
  readonly reason: string;
  /** Wait that the server asks for (Retry-After); 0 = none. */
  readonly retryAfterMs: number;
  /** Whether the error is an event of a watch, whose request was accepted. */
  readonly inStream: boolean;
  /** Whether the requested resourceVersion is newer than the server's (ResourceVersionTooLarge). */
  readonly tooLarge: boolean;
  /** Reasons in `details.causes`. */
  readonly causes: readonly string[];

  constructor(code: number, status: unknown, retryAfterMs: number, inStream: boolean) {
    const reason = digText(status, 'reason');
    const message = digText(status, 'message') || (typeof status === 'string' ? status.trim().slice(0, 200) : '');
    super(`the API server answers ${[code, reason].join(' ').trim()}${message === '' ? '' : `: ${message}`}`);
    this.code = code;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs || readSeconds(dig(status, 'details', 'retryAfterSeconds'));
    this.inStream = inStream;
    const causes = dig(status, 'details', 'causes');
    this.causes = Array.isArray(causes) ? causes.filter(isRecord).map((cause) => String(cause.reason)) : [];
    this.tooLarge = this.causes.includes('ResourceVersionTooLarge');
  }

  static fromAnswer(code: number, body: string, retryAfter: string | undefined): ApiError {
    return new ApiError(code, parseOr(body), readSeconds(retryAfter), false);
  }

  static fromEvent(status: unknown): ApiError {
    const code = dig(status, 'code');
    return new ApiError(typeof code === 'number' ? code : 500, status, 0, true);
  }
}

const parseOr = (body: string): unknown => {
  try {
    return JSON.parse(body);
  } catch {
    return body; // proxies in between answer in HTML
  }
};

const readSeconds = (value: unknown): number => {
  const seconds = Number(value ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
};

/** Protocol violation: no JSON, or no event. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** No bytes arrived for longer than a live server is silent. */
export class Silence extends Error {
  override readonly name = 'Silence';
}

/**
 * The server's resourceVersion is older than the last one: its storage was restored, so the last one is meaningless.
 */
export class HistoryLost extends Error {
  override readonly name = 'HistoryLost';
}

/** The server does not support streaming lists (sendInitialEvents). */
export class StreamingRefused extends Error {
  override readonly name = 'StreamingRefused';
}

/** Whether the last resourceVersion is unusable, so that only a list at the newest version helps. */
export const needsFreshList = (error: unknown): boolean =>
  error instanceof HistoryLost ||
  (error instanceof ApiError &&
    (error.code === 410 || error.reason === 'Expired' || error.reason === 'Gone' || error.tooLarge));

/** Statuses 4xx that depend on credentials, time or rate, not on the request. */
const RETRYABLE_4XX: ReadonlySet<number> = new Set([401, 408, 410, 429]);

/** Whether the server is unavailable for all requests. An error within an accepted stream is none. */
export const isOutage = (error: unknown): boolean =>
  error instanceof ApiError
    ? error.code >= 500 && !error.inStream && error.retryAfterMs === 0
    : !(error instanceof NoAnswer || error instanceof ProtocolError || error instanceof Silence);

/** Whether the request is refused for good. */
export const isRefusal = (error: unknown): error is ApiError =>
  error instanceof ApiError &&
  !error.inStream &&
  error.code >= 400 &&
  error.code < 500 &&
  !RETRYABLE_4XX.has(error.code);
