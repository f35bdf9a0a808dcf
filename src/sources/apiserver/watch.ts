/**
 * One watch request: bytes in, events out, until the server closes or breaks it.
 *
 * Owns the reading of the stream and the detection of a dead peer. What an event means is the reflector's.
 */

import type { IncomingMessage } from 'node:http';
import { Turn } from '../../dataplane/turn.ts';
import { isRecord } from '../../model/record.ts';
import { dig, digText, dropManagedFields, type RawObject } from '../raw.ts';
import { describeError } from '../source.ts';
import { requireOk, Watchdog } from './body.ts';
import type { ApiConnection } from './connection.ts';
import { ApiError, ProtocolError } from './errors.ts';
import { LineSplitter } from './lines.ts';

export interface ObjectEvent {
  readonly type: 'put' | 'remove';
  readonly object: RawObject;
  readonly version: string;
}

export type WatchEvent =
  | ObjectEvent
  /** `endsInitial`: events before this bookmark are the present objects, later ones are changes. */
  | { readonly type: 'bookmark'; readonly version: string; readonly endsInitial: boolean };

export interface WatchLimits {
  /** Time by which the server must have closed the watch. */
  readonly deadlineMs: number;
  /** Longest silence before the first bookmark; 0 = unbounded. */
  readonly initialSilenceMs: number;
  /** Longest silence after a bookmark: a server that sends bookmarks sends them regularly. */
  readonly bookmarkSilenceMs: number;
  readonly bodySilenceMs: number;
}

/**
 * Resolves when the server accepts the watch. The events end only when the server closes it in good order; a broken
 * connection, an incomplete line, silence and an ERROR event are thrown.
 */
export const openWatch = async (
  connection: ApiConnection,
  path: string,
  limits: WatchLimits,
  signal: AbortSignal,
): Promise<AsyncGenerator<WatchEvent, void>> => {
  const response = await connection.request(path, { signal, streams: true });
  await requireOk(response, limits.bodySilenceMs);
  return readEvents(response, limits);
};

async function* readEvents(response: IncomingMessage, limits: WatchLimits): AsyncGenerator<WatchEvent, void> {
  const watchdog = new Watchdog(response);
  const lines = new LineSplitter();
  const turn = new Turn();
  let bookmarks = 0;
  watchdog.expectEndWithin(limits.deadlineMs);
  if (limits.initialSilenceMs > 0) watchdog.expectBytesWithin(limits.initialSilenceMs);
  try {
    for await (const chunk of response) {
      watchdog.fed();
      for (const line of lines.push(chunk as Buffer)) {
        const event = parseEvent(line);
        if (event.type === 'bookmark' && bookmarks++ === 0) watchdog.expectBytesWithin(limits.bookmarkSilenceMs);
        yield event;
        // one chunk may have many events, and buffered chunks follow without a pause
        if (turn.isLong()) await turn.rest();
      }
    }
  } finally {
    watchdog.stop();
  }
  if (lines.pending > 0) throw new Error(`the watch ended in the middle of a line (${lines.pending} bytes)`);
}

const parseEvent = (line: string): WatchEvent => {
  const { type, object } = parseLine(line);
  if (type === 'ERROR') throw ApiError.fromEvent(object);
  if (!isRecord(object)) throw new ProtocolError(`an event ${type} without an object`);
  const version = digText(object, 'metadata', 'resourceVersion');
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
      dropManagedFields(object);
      return { type: 'put', object, version };
    case 'DELETED':
      return { type: 'remove', object, version };
    case 'BOOKMARK': {
      const endsInitial = dig(object, 'metadata', 'annotations', 'k8s.io/initial-events-end') === 'true';
      return { type: 'bookmark', version, endsInitial };
    }
    default:
      throw new ProtocolError(`an event of unknown type ${JSON.stringify(type)}`);
  }
};

const parseLine = (line: string): { readonly type: unknown; readonly object: unknown } => {
  try {
    const parsed: unknown = JSON.parse(line);
    return { type: dig(parsed, 'type'), object: dig(parsed, 'object') };
  } catch (error) {
    const excerpt = line.length > 200 ? `${line.slice(0, 200)}…` : line;
    throw new ProtocolError(`a line that is no JSON (${describeError(error)}): ${excerpt}`, { cause: error });
  }
};
