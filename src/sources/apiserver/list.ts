/** Lists a resource as a whole, in pages where the server supports them. */
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
  /** Number of items that are no objects. */
  readonly strays: number;
}

/** Page size of client-go. */
const PAGE_SIZE = '500';

export const collectionPath = (resource: Resource, parameters: Readonly<Record<string, string>>): string => {
  const { labelSelector, fieldSelector } = resource;
  const all = Object.entries({ labelSelector, fieldSelector, ...parameters }).filter(([, value]) => value !== '');
  return `${resource.path}?${new URLSearchParams(all)}`;
};

/**
 * Lists at a resourceVersion: `0` = any version in the server's cache, empty = the newest. A list whose snapshot
 * expires between two pages is requested again without pages.
 */
export const listAll = async (
  connection: ApiConnection,
  resource: Resource,
  version: string,
  silenceMs: number,
  signal: AbortSignal,
): Promise<ResourceList> => {
  // with a given resourceVersion a limit means exactly that version, which the server's cache cannot serve
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

/** Parses items in turns of the event loop: a server that ignores `limit` sends all in one response. */
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
