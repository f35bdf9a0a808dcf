/**
 * The whole contents of a resource, in pages where the server wants to give them in pages.
 */

import { Turn } from '../../dataplane/turn.ts';
import { isRecord } from '../../model/record.ts';
import { digText, dropManagedFields, type RawObject } from '../raw.ts';
import type { Resource } from '../resources.ts';
import { describeError } from '../source.ts';
import { readBody, requireOk } from './body.ts';
import type { ApiConnection } from './connection.ts';
import { needsFreshList, ProtocolError } from './errors.ts';
import { cutItems } from './list-items.ts';

export interface ResourceList {
  readonly objects: readonly RawObject[];
  readonly version: string;
  /** Entries that are no objects. */
  readonly strays: number;
}

/** client-go's. */
const PAGE_SIZE = '500';

export const collectionPath = (resource: Resource, parameters: Readonly<Record<string, string>>): string => {
  const { labelSelector, fieldSelector } = resource;
  const all = Object.entries({ labelSelector, fieldSelector, ...parameters }).filter(([, value]) => value !== '');
  return `${resource.path}?${new URLSearchParams(all)}`;
};

/**
 * Lists at a version: `0` is whatever the server has in its cache, empty is the newest. A snapshot that expires between
 * two pages is asked for once more, in one piece.
 */
export const listAll = async (
  connection: ApiConnection,
  resource: Resource,
  version: string,
  silenceMs: number,
  signal: AbortSignal,
): Promise<ResourceList> => {
  // at a version of our own a limit would mean "exactly that version", which the server's cache cannot serve
  const limit = version === '' || version === '0' ? PAGE_SIZE : '';
  const objects: RawObject[] = [];
  let strays = 0;
  let next: Readonly<Record<string, string>> = { resourceVersion: version, limit };
  for (;;) {
    const paged = 'continue' in next;
    const page = await getPage(connection, collectionPath(resource, next), silenceMs, signal).catch(
      (error: unknown) => {
        if (paged && needsFreshList(error)) return undefined;
        throw error;
      },
    );
    if (page === undefined) {
      objects.length = 0;
      strays = 0;
      next = { resourceVersion: '' };
      continue;
    }
    for (const item of page.items) {
      if (!isRecord(item)) strays += 1;
      else objects.push(item);
    }
    if (page.continue === '') return { objects, version: page.version, strays };
    next = { limit, continue: page.continue };
  }
};

interface ListPage {
  readonly items: readonly unknown[];
  readonly version: string;
  readonly continue: string;
}

const getPage = async (
  connection: ApiConnection,
  path: string,
  silenceMs: number,
  signal: AbortSignal,
): Promise<ListPage> => {
  const response = await connection.request(path, { signal });
  await requireOk(response, silenceMs);
  const { items, rest } = await parseItems(await readBody(response, silenceMs));
  if (!isRecord(rest)) throw new ProtocolError('a list that is no object');
  if (!Array.isArray(rest.items ?? [])) throw new ProtocolError('a list whose items are no list');
  const version = digText(rest, 'metadata', 'resourceVersion');
  return { items, version, continue: digText(rest, 'metadata', 'continue') };
};

/** With rests: a server that ignores `limit` sends everything in one piece. */
const parseItems = async (body: Buffer): Promise<{ readonly items: readonly unknown[]; readonly rest: unknown }> => {
  const turn = new Turn();
  const items: unknown[] = [];
  const pieces = cutItems(body);
  for (let next = pieces.next(); ; next = pieces.next()) {
    const parsed = parse(next.value);
    if (next.done === true) return { items, rest: parsed };
    if (isRecord(parsed)) dropManagedFields(parsed);
    items.push(parsed);
    if (turn.isLong()) await turn.rest();
  }
};

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ProtocolError(`a list that is no JSON: ${describeError(error)}`, { cause: error });
  }
};
