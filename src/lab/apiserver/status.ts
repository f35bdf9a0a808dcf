/** Errors of the Kubernetes API: a `Status` body and its HTTP code, with the real server's reasons and wording. */
import { fullName, type ResourceType } from './resources.ts';

export interface StatusDetails {
  readonly name?: string;
  readonly kind?: string;
  readonly retryAfterSeconds?: number;
  readonly causes?: readonly { readonly reason: string; readonly message: string }[];
}

export interface ApiStatus {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly status: 'Failure' | 'Success';
  readonly message: string;
  readonly reason: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly status: ApiStatus;
  constructor(code: number, reason: string, message: string, details?: StatusDetails, metadata = {}) {
    super(message);
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata,
      status: 'Failure',
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code,
    };
  }
}

const about = (type: ResourceType, name: string): StatusDetails => ({ name, kind: type.plural });

export const notFound = (type: ResourceType, name: string): StatusError =>
  new StatusError(404, 'NotFound', `${fullName(type)} "${name}" not found`, about(type, name));

export const noSuchPath = (): StatusError =>
  new StatusError(404, 'NotFound', 'the server could not find the requested resource');

export const alreadyExists = (type: ResourceType, name: string): StatusError =>
  new StatusError(409, 'AlreadyExists', `${fullName(type)} "${name}" already exists`, about(type, name));

export const conflict = (type: ResourceType, name: string): StatusError =>
  new StatusError(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${fullName(type)} "${name}": the object has been modified; ` +
      'please apply your changes to the latest version and try again',
    about(type, name),
  );

export const badRequest = (message: string): StatusError => new StatusError(400, 'BadRequest', message);

export const invalid = (message: string): StatusError => new StatusError(422, 'Invalid', message);

export const methodNotAllowed = (): StatusError =>
  new StatusError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');

export const unauthorized = (): StatusError => new StatusError(401, 'Unauthorized', 'Unauthorized');

export const internalError = (error: unknown): StatusError =>
  new StatusError(500, 'InternalError', `Internal error occurred: ${error instanceof Error ? error.message : error}`);

/** Error for a version that history no longer reaches back to. */
export const expired = (message: string): StatusError => new StatusError(410, 'Expired', message);

/** Error for a version newer than this server's: the client has seen another history. */
export const tooLarge = (asked: number, current: number): StatusError =>
  new StatusError(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** Error with a given code, for faults. */
export const failure = (code: number, retryAfterSeconds?: number): StatusError =>
  new StatusError(
    code,
    REASONS[code] ?? 'Unknown',
    `a fault on demand: ${code}`,
    retryAfterSeconds === undefined ? undefined : { retryAfterSeconds },
  );
