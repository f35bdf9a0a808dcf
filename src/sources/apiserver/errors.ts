/**
 * What an API server answers when it does not do what it was asked: one error class, and the decisions that follow.
 */
import { isRecord } from '../../model/record.ts';
import { dig, digText } from '../raw.ts';
import { NoAnswer } from './http.ts';

/** A refusal: an HTTP status other than 200, or an ERROR event in a watch. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: number;
  readonly reason: string;
  /** What the server asked us to wait; 0 when it did not. */
  readonly retryAfterMs: number;
  /** It came as an event, so the request itself was accepted. */
  readonly inStream: boolean;
  /** The version asked for lies in the future of this server. */
  readonly tooLarge: boolean;
  /** Reasons behind the reason. */
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
    return body; // proxies on the way answer in HTML
  }
};

const readSeconds = (value: unknown): number => {
  const seconds = Number(value ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
};

/** The stream broke one of the protocol's rules: a line that is no JSON, or no event. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** Nothing came for longer than a living server is silent. */
export class Silence extends Error {
  override readonly name = 'Silence';
}

/** The server's versions are older than those it gave us: its storage was restored, and our version means nothing. */
export class HistoryLost extends Error {
  override readonly name = 'HistoryLost';
}

/** The server does not know about streaming lists. */
export class StreamingRefused extends Error {
  override readonly name = 'StreamingRefused';
}

/** The last known version is of no use: only a list at the newest version helps. */
export const needsFreshList = (error: unknown): boolean =>
  error instanceof HistoryLost ||
  (error instanceof ApiError &&
    (error.code === 410 || error.reason === 'Expired' || error.reason === 'Gone' || error.tooLarge));

/** 4xx that say nothing about the request itself: who asks, when, and how often. */
const RETRYABLE_4XX: ReadonlySet<number> = new Set([401, 408, 410, 429]);

/** The server is not there, or has nobody behind it: all requests fare alike. Not of a stream that broke. */
export const isOutage = (error: unknown): boolean =>
  error instanceof ApiError
    ? error.code >= 500 && !error.inStream && error.retryAfterMs === 0
    : !(error instanceof NoAnswer || error instanceof ProtocolError || error instanceof Silence);

/** The request as such will not be answered, now or later. */
export const isRefusal = (error: unknown): error is ApiError =>
  error instanceof ApiError &&
  !error.inStream &&
  error.code >= 400 &&
  error.code < 500 &&
  !RETRYABLE_4XX.has(error.code);
