/**
 * Single requests that create, change or read one object, with a time-out: writes run beside other work and must not be
 * blocked by a server that hangs.
 */
import { isRecord } from '../../model/record.ts';
import type { RawObject } from '../raw.ts';
import { describeError } from '../source.ts';
import { readText, requireOk } from './body.ts';
import type { ApiConnection } from './connection.ts';
import { ProtocolError } from './errors.ts';

/** Format of a PATCH, by the API's content types. */
export type PatchKind = 'merge-patch' | 'json-patch';

export interface Call {
  readonly connection: ApiConnection;
  readonly signal: AbortSignal;
  /** Time-out from the request to the end of the response, milliseconds. */
  readonly withinMs: number;
}

/** Creates an object in a collection. Throws ApiError for a refusal, else the network's error. */
export const create = (call: Call, path: string, body: RawObject): Promise<RawObject> =>
  exchange(call, path, { method: 'POST', body });

/** Patches an object. Throws like `create`. */
export const patch = (call: Call, path: string, kind: PatchKind, body: unknown): Promise<RawObject> =>
  exchange(call, path, { method: 'PATCH', body, contentType: `application/${kind}+json` });

/** Reads the object at a path. Throws like `create`. */
export const read = (call: Call, path: string): Promise<RawObject> => exchange(call, path, {});

interface RequestContent {
  readonly method?: string;
  readonly body?: unknown;
  readonly contentType?: string;
}

const exchange = async (
  { connection, signal, withinMs }: Call,
  path: string,
  asked: RequestContent,
): Promise<RawObject> => {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`no answer within ${withinMs} ms`)), withinMs);
  try {
    const within = AbortSignal.any([signal, late.signal]);
    const response = await connection.request(path, { ...asked, signal: within });
    await requireOk(response, withinMs);
    return parse(await readText(response, withinMs));
  } catch (error) {
    throw late.signal.aborted && !signal.aborted ? late.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
};

const parse = (text: string): RawObject => {
  try {
    const body: unknown = JSON.parse(text);
    if (isRecord(body)) return body;
  } catch (error) {
    throw new ProtocolError(`an answer that is no JSON: ${describeError(error)}`, { cause: error });
  }
  throw new ProtocolError('an answer that is no object');
};
