/**
 * Detects changes below a folder by fs.watch on each folder. Where that fails (network file system, inotify watches
 * exhausted) a warning is logged, and the caller's time-out serves as the poll.
 */
import { type FSWatcher, watch } from 'node:fs';
import { describeError, type Log } from '../source.ts';
import type { FolderState } from './scan.ts';

export class FolderWatcher {
  readonly #log: Log;
  readonly #watchers = new Map<string, FSWatcher>();
  #changed = false;
  #wake = (): void => undefined;
  #hasWarned = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Watches exactly these folders; returns true when some are new, whose latest changes may have been missed. */
  follow(folders: readonly FolderState[]): boolean {
    const wanted = new Map(folders.map(({ path, inode }) => [`${inode} ${path}`, path]));
    for (const key of [...this.#watchers.keys()]) if (!wanted.has(key)) this.#drop(key);
    const added = [...wanted].filter(([key]) => !this.#watchers.has(key));
    return added.map(([key, path]) => this.#add(key, path)).includes(true);
  }

  /** Resolves on a change since the last call, after the time-out, or when aborted. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#changed && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          this.#wake = () => undefined;
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done);
        this.#wake = done;
      });
    }
    this.#changed = false;
  }

  close(): void {
    for (const key of [...this.#watchers.keys()]) this.#drop(key);
  }

  #add(key: string, path: string): boolean {
    try {
      const watcher = watch(path, { persistent: true }, () => {
        this.#changed = true;
        this.#wake();
      });
      watcher.on('error', (error) => {
        this.#warnOnce(path, error);
        this.#drop(key);
      });
      this.#watchers.set(key, watcher);
      return true;
    } catch (error) {
      this.#warnOnce(path, error);
      return false;
    }
  }

  #drop(key: string): void {
    this.#watchers.get(key)?.close();
    this.#watchers.delete(key);
  }

  #warnOnce(path: string, error: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#log.warn({ path, error: describeError(error) }, 'a folder cannot be watched; looking at it now and then');
  }
}
