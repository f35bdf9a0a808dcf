/**
 * Files below a folder, with fingerprints that tell changes.
 *
 * Owns the walk, links and fingerprints. Entries that begin with a dot are skipped: editors' drafts, and the folders
 * behind the links of a mounted ConfigMap, whose files are reached through the links.
 */
import type { BigIntStats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface FileState {
  /** Path relative to the folder. */
  readonly path: string;
  /** Device, inode, size and times: differs when the contents may differ. */
  readonly fingerprint: string;
  /** Milliseconds since 1970. */
  readonly modifiedAt: number;
}

export interface FolderState {
  /** Absolute path. */
  readonly path: string;
  /** Device and inode: differs when the folder was replaced by one of the same name. */
  readonly inode: string;
}

export interface Scan {
  /** Files, sorted by path. */
  readonly files: readonly FileState[];
  /** The folder itself and all folders below it. */
  readonly folders: readonly FolderState[];
}

const EXTENSIONS = /\.(ya?ml|json)$/i;

/** Depth at which the walk stops: links may form a cycle. */
const MAX_DEPTH = 16;

/**
 * Scans a folder. Throws when the folder or an entry below it exists and cannot be read: its objects must not count as
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

/** Errors of an entry that vanished meanwhile, and of a dangling link. */
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

/** Text of a file; undefined when it vanished or changed since the scan. */
export const readStable = async (dir: string, file: FileState): Promise<string | undefined> => {
  const path = join(dir, file.path);
  const text = await orGone(readFile(path, 'utf8'));
  const after = await orGone(stat(path, { bigint: true }));
  return after !== undefined && fingerprintOf(after) === file.fingerprint ? text : undefined;
};
