/** Objects of all files, and their difference to those before. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { ObjectKind } from '../../model/kubernetes.ts';
import type { FileObject } from './parse.ts';

export interface FolderObjects {
  readonly entries: ReadonlyMap<string, FileObject>;
  /** Messages about objects that several files define. */
  readonly clashes: readonly string[];
}

export const NO_OBJECTS: FolderObjects = { entries: new Map(), clashes: [] };

export type ContentChange = { readonly op: 'put' | 'remove'; readonly entry: FileObject };

/** Merges files in the order of their paths; an object in several files counts as in the last one. */
export const mergeFiles = (files: readonly (readonly [string, readonly FileObject[]])[]): FolderObjects => {
  const entries = new Map<string, FileObject>();
  const origin = new Map<string, string>();
  const clashes: string[] = [];
  for (const [path, ofFile] of files) {
    for (const entry of ofFile) {
      const before = origin.get(entry.key);
      if (before !== undefined) clashes.push(`${entry.key} is in ${before} and in ${path}; the latter counts`);
      origin.set(entry.key, path);
      entries.set(entry.key, entry);
    }
  }
  return { entries, clashes };
};

/** Changes in the order of kinds; within a kind puts come before removals. */
export const compareContents = (
  before: FolderObjects,
  after: FolderObjects,
  kinds: readonly ObjectKind[],
): readonly ContentChange[] => {
  const changes: ContentChange[] = [];
  for (const [key, entry] of after.entries) {
    const previous = before.entries.get(key);
    if (previous !== entry && !isDeepStrictEqual(previous?.object, entry.object)) changes.push({ op: 'put', entry });
  }
  for (const [key, entry] of before.entries) {
    if (!after.entries.has(key)) changes.push({ op: 'remove', entry });
  }
  return kinds.flatMap((kind) => changes.filter((change) => change.entry.kind === kind));
};
