/** A folder of objects for each test of a file, and a source that watches it; both are gone after the test. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { stringify } from 'yaml';
import { openFolder } from '../../../src/sources/files/folder.ts';
import type { ObjectSource } from '../../../src/sources/source.ts';
import { collectLog, type LogLine, NODE, type Running, start } from '../support.ts';

export const poll = <T>(read: () => T) => expect.poll(read, { interval: 5, timeout: 3000 });

export interface Tree {
  /** The folder above the watched one. */
  readonly parent: string;
  readonly dir: string;
  /** Writes a file of documents: objects, or text as it is. */
  put(name: string, ...documents: readonly unknown[]): Promise<void>;
  begin(options?: { pollMs?: number; debounceMs?: number }): Promise<Running<ObjectSource>>;
}

export const useTree = (): Tree => {
  let parent = '';
  let running: Running<ObjectSource> | undefined;
  const dir = (): string => join(parent, 'objects');
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'pointsman-folder-'));
    await mkdir(dir());
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
    await rm(parent, { recursive: true });
  });
  return {
    get parent() {
      return parent;
    },
    get dir() {
      return dir();
    },
    put: async (name, ...documents) => {
      const file = join(dir(), name);
      await mkdir(dirname(file), { recursive: true });
      const texts = documents.map((document) => (typeof document === 'string' ? document : stringify(document)));
      await writeFile(file, texts.join('---\n'));
    },
    begin: async ({ pollMs = 60_000, debounceMs = 30 } = {}) => {
      const log = collectLog();
      const started = start(await openFolder({ dir: dir(), nodeName: NODE, log, debounceMs, pollMs }), log);
      running = started;
      await poll(() => started.sink.synced).toBe(true);
      return started;
    },
  };
};

/** Calls of the sink after the four of the first contents. */
export const changes = ({ sink }: Running<ObjectSource>): readonly string[] => sink.calls.slice(4);

/** What was complained about. */
export const messages = ({ log }: Running<ObjectSource>): readonly LogLine[] =>
  log.lines.filter(({ level }) => level !== 'info');

/** Long enough for anything that was going to happen. */
export const pastDebounce = () => new Promise((resolve) => setTimeout(resolve, 120));
