/**
 * GET of a collection: resourceVersion, pages, and the consistent snapshot of all pages.
 *
 * A page's snapshot is rebuilt from history, so a continue token is a version and a key only, and expires when history
 * no longer reaches back to that version.
 */
import { apiVersionOf, type ResourceType } from './resources.ts';
import { readSelector } from './selectors.ts';
import { badRequest, expired, invalid, StatusError, tooLarge } from './status.ts';
import type { Store, StoredObject } from './store.ts';

export type Query = Readonly<Record<string, string>>;

export interface ListBody {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  readonly items: readonly unknown[];
}

interface Continue {
  readonly version: number;
  /** Last key of the previous page. */
  readonly after: string;
}

/** resourceVersion of a query; undefined when unset. */
export const readVersion = (query: Query): number | undefined => {
  const text = query.resourceVersion ?? '';
  if (text === '') return undefined;
  if (!/^\d+$/.test(text)) throw badRequest(`invalid resource version ${JSON.stringify(text)}`);
  return Number(text);
};

const readLimit = (query: Query): number => {
  const text = query.limit ?? '0';
  if (!/^\d+$/.test(text)) throw badRequest(`invalid limit ${JSON.stringify(text)}`);
  return Number(text);
};

const encodeContinue = (token: Continue): string => Buffer.from(JSON.stringify(token)).toString('base64url');

const decodeContinue = (text: string): Continue => {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Continue;
    if (typeof token.version === 'number' && typeof token.after === 'string') return token;
  } catch {
    // refused below
  }
  throw badRequest('continue key is not valid');
};

/** Version to list at, by the API's rules for resourceVersion and resourceVersionMatch. */
const chooseVersion = (query: Query, limit: number, store: Store): number => {
  const asked = readVersion(query);
  const match = query.resourceVersionMatch ?? '';
  if (match !== '' && match !== 'Exact' && match !== 'NotOlderThan') {
    throw invalid(`resourceVersionMatch: Unsupported value: "${match}": supported values: "Exact", "NotOlderThan"`);
  }
  if (match !== '' && asked === undefined) {
    throw invalid(
      'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
    );
  }
  if (match === 'Exact' && asked === 0) {
    throw invalid('resourceVersionMatch: Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
  }
  if (asked !== undefined && asked > store.version) throw tooLarge(asked, store.version);
  // a limit without a match means Exact, by the API's legacy: a reason not to page a list at a known version
  const exact = match === 'Exact' || (match === '' && limit > 0);
  return asked !== undefined && asked > 0 && exact ? asked : store.version;
};

/** Items of a list have neither kind nor apiVersion, as in the real server. */
const asItem = ({ kind: _kind, apiVersion: _apiVersion, ...rest }: StoredObject): unknown => rest;

export const listObjects = (store: Store, type: ResourceType, namespace: string, query: Query): ListBody => {
  const limit = readLimit(query);
  const selects = readSelector(type, namespace, query);
  const token = query.continue === undefined || query.continue === '' ? undefined : decodeContinue(query.continue);
  if (token !== undefined && (query.resourceVersion ?? '0') !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  const version = token?.version ?? chooseVersion(query, limit, store);
  const objects = snapshot(store, type, version, token);
  const matching = objects.filter(([key, object]) => (token === undefined || key > token.after) && selects(object));
  const page = limit > 0 ? matching.slice(0, limit) : matching;
  const last = page.at(-1)?.[0];
  const remaining = matching.length - page.length;
  return {
    kind: `${type.kind}List`,
    apiVersion: apiVersionOf(type),
    metadata: {
      resourceVersion: String(version),
      ...(remaining > 0 && last !== undefined
        ? { continue: encodeContinue({ version, after: last }), remainingItemCount: remaining }
        : {}),
    },
    items: page.map(([, object]) => asItem(object)),
  };
};

const snapshot = (store: Store, type: ResourceType, version: number, token: Continue | undefined) => {
  try {
    return store.at(type, version);
  } catch (error) {
    if (!(error instanceof StatusError) || token === undefined) throw error;
    throw expired('The provided continue parameter is too old to display a consistent list result.');
  }
};
