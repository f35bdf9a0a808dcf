/**
 * A request that changes something, or asks for one thing, answered within a time or not at all: whoever writes here does it
 * beside other work, and must not be held by a server that hangs.
 */
import { isRecord } from '../../model/record.ts';
import type { RawObject } from '../raw.ts';
import { describeError } from '../source.ts';
import { readText, requireOk } from './body.ts';
import type { ApiConnection } from './connection.ts';
import { ProtocolError } from './errors.ts';

/** How a change is put, as the API's content types for PATCH. */
export type PatchKind = 'merge-patch' | 'json-patch';

export interface Call {
  readonly connection: ApiConnection;
  readonly signal: AbortSignal;
  /** From the request to the end of the answer, milliseconds. */
  readonly withinMs: number;
}

/** Makes an object in a collection. Throws ApiError for an answer other than "made", else what went wrong on the way. */
export const create = (call: Call, path: string, body: RawObject): Promise<RawObject> =>
  exchange(call, path, { method: 'POST', body });

/** Changes an object. Throws as `create`. */
export const patch = (call: Call, path: string, kind: PatchKind, body: unknown): Promise<RawObject> =>
  exchange(call, path, { method: 'PATCH', body, contentType: `application/${kind}+json` });

/** What stands at a path. Throws as `create`. */
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
