/**
 * The files below a folder, and which of them changed since last time.
 *
 * Owns the walk, links and fingerprints. Entries that begin with a dot are not looked at: editors' drafts, and the
 * folders behind the links of a mounted ConfigMap, whose files are seen through the links.
 */
import type { BigIntStats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface FileState {
  /** Relative to the folder. */
  readonly path: string;
  /** Differs when the contents may differ: device, inode, size and times. */
  readonly fingerprint: string;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
}

export interface FolderState {
  /** Absolute. */
  readonly path: string;
  /** Another one when the folder was replaced by one of the same name. */
  readonly inode: string;
}

export interface Scan {
  /** Sorted by path. */
  readonly files: readonly FileState[];
  /** The folder itself and all below it. */
  readonly folders: readonly FolderState[];
}

const EXTENSIONS = /\.(ya?ml|json)$/i;

/** Deeper than any sane folder: links can make a circle. */
const MAX_DEPTH = 16;

/**
 * Throws when the folder, or anything below it, is there and cannot be looked at: its objects must not be taken for
 * deleted.
 */
export const scanFolder = async (dir: string): Promise<Scan> => {
  const files: FileState[] = [];
  const folders: FolderState[] = [];
  const walk = async (relative: string, inode: string, depth: number): Promise<void> => {
    const absolute = join(dir, relative);
    const names = await (depth === 0 ? readdir(absolute) : orGone(readdir(absolute)));
    folders.push({ path: absolute, inode });
    for (const name of (names ?? []).filter((candidate) => !candidate.startsWith('.'))) {
      const path = join(relative, name);
      const found = await orGone(stat(join(dir, path), { bigint: true }));
      if (found?.isDirectory() && depth < MAX_DEPTH) await walk(path, inodeOf(found), depth + 1);
      else if (found?.isFile() && EXTENSIONS.test(name)) files.push(fileState(path, found));
    }
  };
  await walk('', inodeOf(await stat(dir, { bigint: true })), 0);
  return { files: files.sort((a, b) => (a.path < b.path ? -1 : 1)), folders };
};

/** What went away meanwhile, or a link to nowhere. */
const GONE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);

const orGone = async <T>(found: Promise<T>): Promise<T | undefined> => {
  try {
    return await found;
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code)) return undefined;
    throw error;
  }
};

const fileState = (path: string, found: BigIntStats): FileState => ({
  path,
  fingerprint: fingerprintOf(found),
  modifiedAt: Number(found.mtimeMs),
});

const inodeOf = ({ dev, ino }: BigIntStats): string => `${dev}:${ino}`;

const fingerprintOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  [dev, ino, size, mtimeNs, ctimeNs].join(' ');

/** The text of a file; undefined when it is gone, or is not the one that was scanned any more. */
export const readStable = async (dir: string, file: FileState): Promise<string | undefined> => {
  const path = join(dir, file.path);
  const text = await orGone(readFile(path, 'utf8'));
  const after = await orGone(stat(path, { bigint: true }));
  return after !== undefined && fingerprintOf(after) === file.fingerprint ? text : undefined;
};
