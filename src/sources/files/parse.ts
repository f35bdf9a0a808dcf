/**
 * Parses one file into objects: YAML with any number of documents, or JSON; lists are expanded.
 *
 * Owns what counts as an object, and the place in error messages. Fields are not validated.
 */

import type { ObjectKind } from '../../model/kubernetes.ts';
import { isRecord } from '../../model/record.ts';
import { digText, dropManagedFields, type RawObject } from '../raw.ts';
import type { Resource } from '../resources.ts';

export interface FileObject {
  readonly kind: ObjectKind;
  /** Key of kind, namespace and name. */
  readonly key: string;
  readonly object: RawObject;
}

export interface ParsedFile {
  readonly entries: readonly FileObject[];
  /** Messages about documents that are no objects. */
  readonly problems: readonly string[];
}

/** Error of a file that is neither YAML nor JSON. */
export class ParseError extends Error {
  override readonly name = 'ParseError';
  readonly line: number;
  readonly column: number;
  constructor(message: string, line: number, column: number) {
    super(message);
    this.line = line;
    this.column = column;
  }
}

/** Parses the objects that the resources select and skips other kinds. Throws ParseError. */
export const parseFile = async (path: string, text: string, resources: readonly Resource[]): Promise<ParsedFile> => {
  const documents = (path.endsWith('.json') ? parseJson(text) : undefined) ?? (await parseYaml(text));
  const entries: FileObject[] = [];
  const problems: string[] = [];
  const take = (value: unknown, place: string, inherited: RawObject): void => {
    if (value === null || value === undefined) return; // empty document
    if (!isRecord(value)) {
      problems.push(`${place} is no object`);
      return;
    }
    const object = { ...inherited, ...value };
    const kind = digText(object, 'kind');
    if (kind === '' || digText(object, 'apiVersion') === '') {
      problems.push(`${place} has no ${kind === '' ? 'kind' : 'apiVersion'}`);
    } else if (kind.endsWith('List') && Array.isArray(object.items)) {
      const ofItems = itemType(object, kind);
      object.items.forEach((item, i) => {
        take(item, `${place}, item ${i + 1},`, ofItems);
      });
    } else {
      const entry = toFileObject(object, kind, resources, `${path}, ${place}`);
      if (entry !== undefined) entries.push(entry);
    }
  };
  documents.forEach((document, i) => {
    take(document, `document ${i + 1}`, {});
  });
  return { entries, problems };
};

/** Type of the items of a list: those of a ServiceList are Services, those of a List name their own type. */
const itemType = (list: RawObject, kind: string): RawObject =>
  kind === 'List' ? {} : { apiVersion: list.apiVersion, kind: kind.slice(0, -'List'.length) };

const toFileObject = (
  raw: RawObject,
  kind: string,
  resources: readonly Resource[],
  place: string,
): FileObject | undefined => {
  const resource = resources.find((candidate) => candidate.kind === kind && candidate.apiVersion === raw.apiVersion);
  if (resource === undefined || !resource.selects(raw)) return undefined;
  const object = resource.namespaced ? withNamespace(raw) : raw;
  dropManagedFields(object);
  const name = digText(object, 'metadata', 'name');
  // a nameless object is malformed, which the sink reports; its place is its key
  const id = name === '' ? place : `${digText(object, 'metadata', 'namespace')}/${name}`;
  return { kind: resource.kind, key: `${resource.kind} ${id}`, object };
};

/** Sets the namespace `default` when there is none, as kubectl does. */
const withNamespace = (object: RawObject): RawObject => {
  const { metadata } = object;
  if (!isRecord(metadata) || (metadata.namespace !== undefined && metadata.namespace !== null)) return object;
  return { ...object, metadata: { ...metadata, namespace: 'default' } };
};

/** Parses JSON ten times as fast as the YAML parser, which reports the errors. */
const parseJson = (text: string): readonly unknown[] | undefined => {
  try {
    return [JSON.parse(text)];
  } catch {
    return undefined;
  }
};

const parseYaml = async (text: string): Promise<readonly unknown[]> => {
  const { parseAllDocuments } = await import('yaml');
  const documents = parseAllDocuments(text, { merge: true });
  return [...documents].map((document) => {
    const error = document.errors[0];
    if (error !== undefined) {
      const [start] = error.linePos ?? [{ line: 0, col: 0 }];
      throw new ParseError(error.message.replace(/ at line \d+[\s\S]*$/, ''), start.line, start.col);
    }
    try {
      return document.toJS();
    } catch (cause) {
      // aliases are resolved here: unknown ones throw, and so do too many (alias bomb)
      throw new ParseError((cause as Error).message, 0, 0);
    }
  });
};
