/**
 * What all files together say, and how that differs from what they said before. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ObjectKind } from '../../model/kubernetes.ts';
import type { FileObject } from './parse.ts';

export interface FolderObjects {
  readonly entries: ReadonlyMap<string, FileObject>;
  /** Objects that several files claim to define. */
  readonly clashes: readonly string[];
}

export const NO_OBJECTS: FolderObjects = { entries: new Map(), clashes: [] };

export type ContentChange = { readonly op: 'put' | 'remove'; readonly entry: FileObject };

/** Puts files together in the order of their paths: of two that define the same object the later counts. */
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

/** In the order of kinds; within a kind what is new or changed comes before what is gone. */
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
