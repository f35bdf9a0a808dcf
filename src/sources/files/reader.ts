/** Reads a folder repeatedly, each file only when it changed; caches the objects of each file. */
import type { Resource } from '../resources.ts';
import { describeError } from '../source.ts';
import { type FolderObjects, mergeFiles } from './contents.ts';
import { type FileObject, ParseError, parseFile } from './parse.ts';
import { type FileState, type FolderState, readStable, scanFolder } from './scan.ts';

export interface FileProblem {
  readonly file: string;
  readonly error: string;
  /** Position of the first parse error; 0 = unknown. */
  readonly line?: number;
  readonly column?: number;
  /** Whether the file could not be read or parsed; its last objects still count. */
  readonly unreadable: boolean;
}

export interface FolderReading {
  readonly contents: FolderObjects;
  readonly folders: readonly FolderState[];
  /** Problems of the files that changed since the last reading. */
  readonly problems: readonly FileProblem[];
  /** False while a file is being written: its last objects count, and it has to be read again. */
  readonly settled: boolean;
}

interface CachedFile {
  readonly fingerprint: string;
  readonly entries: readonly FileObject[];
  readonly problems: readonly FileProblem[];
}

/** Postponements after which a file that keeps changing is read all the same. */
const PATIENCE = 10;

export class FolderReader {
  readonly #dir: string;
  readonly #resources: readonly Resource[];
  readonly #settleMs: number;
  readonly #now: () => number;
  #files: ReadonlyMap<string, CachedFile> = new Map();
  #postponed: ReadonlyMap<string, number> = new Map();

  /** A file that changed within `settleMs` is postponed: its writer may have truncated it and not be done. */
  constructor(dir: string, resources: readonly Resource[], settleMs: number, now: () => number) {
    this.#dir = dir;
    this.#resources = resources;
    this.#settleMs = settleMs;
    this.#now = now;
  }

  /** Reads the folder. Throws when it cannot be read. */
  async read(): Promise<FolderReading> {
    const { files, folders } = await scanFolder(this.#dir);
    const next = new Map<string, CachedFile>();
    const problems: FileProblem[] = [];
    const postponed = new Map<string, number>();
    for (const file of files) {
      const before = this.#files.get(file.path);
      const now = before?.fingerprint === file.fingerprint ? before : await this.#readFile(file, before);
      if (now === undefined) postponed.set(file.path, (this.#postponed.get(file.path) ?? 0) + 1);
      else if (now !== before) problems.push(...now.problems);
      const kept = now ?? before;
      if (kept !== undefined) next.set(file.path, kept);
    }
    this.#files = next;
    this.#postponed = postponed;
    const contents = mergeFiles([...next].map(([path, { entries }]) => [path, entries]));
    return { contents, folders, problems, settled: postponed.size === 0 };
  }

  /** Reads one file; undefined when it is postponed. */
  async #readFile(file: FileState, before: CachedFile | undefined): Promise<CachedFile | undefined> {
    const { path, fingerprint, modifiedAt } = file;
    const age = this.#now() - modifiedAt; // negative when another machine's clock is ahead, which tells nothing
    const isWarm = age >= 0 && age < this.#settleMs;
    if (isWarm && (this.#postponed.get(path) ?? 0) < PATIENCE) return undefined;
    try {
      const text = await readStable(this.#dir, file);
      if (text === undefined) return undefined;
      const { entries, problems } = await parseFile(path, text, this.#resources);
      return { fingerprint, entries, problems: problems.map((error) => ({ file: path, error, unreadable: false })) };
    } catch (error) {
      const place = error instanceof ParseError ? { line: error.line, column: error.column } : {};
      const problem = { file: path, error: describeError(error), ...place, unreadable: true };
      return { fingerprint, entries: before?.entries ?? [], problems: [problem] };
    }
  }
}
