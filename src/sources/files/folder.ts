/**
 * Folder of YAML and JSON files as a source, in place of an API server.
 *
 * Owns the loop: read, hand over changes, wait for the next change. A bad file costs only its own changes.
 */
import { stat } from 'node:fs/promises';
import { pause } from '../../dataplane/pause.ts';
import type { ObjectKind, ObjectSink } from '../../model/kubernetes.ts';
import type { RawObject } from '../raw.ts';
import { type Resource, resourcesFor } from '../resources.ts';
import { describeError, type Log, type ObjectSource } from '../source.ts';
import { compareContents, type FolderObjects } from './contents.ts';
import { type FileProblem, FolderReader, type FolderReading } from './reader.ts';
import { FolderWatcher } from './watcher.ts';

export interface FolderOptions {
  readonly dir: string;
  readonly nodeName: string;
  /** Resources to read, instead of the proxy's. */
  readonly resources?: readonly Resource[] | undefined;
  readonly log: Log;
  /** Wait between the last change of a file and its reading, so that its writer can finish. */
  readonly debounceMs?: number;
  /** Interval of readings without a notification. */
  readonly pollMs?: number;
  readonly now?: () => number;
}

export interface FolderContents {
  readonly objects: Readonly<Record<ObjectKind, readonly RawObject[]>>;
  readonly problems: readonly FileProblem[];
  /** Messages about objects that several files define, and which file counts. */
  readonly clashes: readonly string[];
}

const DEBOUNCE_MS = 100;

/** Readings that wait for a changing file before the first hand-over goes without it. */
const PATIENCE = 20;

/** Opens a folder. Throws when it does not exist. */
export const openFolder = async (options: FolderOptions): Promise<ObjectSource> => {
  await requireFolder(options.dir);
  return new FolderSource(options);
};

/** Reads the whole contents once. Throws when the folder does not exist; bad files are among the problems. */
export const readFolder = async (dir: string, nodeName: string): Promise<FolderContents> => {
  await requireFolder(dir);
  const reader = new FolderReader(dir, resourcesFor(nodeName), DEBOUNCE_MS, Date.now);
  let reading = await reader.read();
  const problems = [...reading.problems];
  for (let i = 0; !reading.settled && i < PATIENCE; i++) {
    await pause(50, new AbortController().signal);
    reading = await reader.read();
    problems.push(...reading.problems);
  }
  const { contents } = reading;
  const of = (kind: ObjectKind): readonly RawObject[] => objectsOf(contents, kind);
  return {
    objects: {
      Service: of('Service'),
      EndpointSlice: of('EndpointSlice'),
      Node: of('Node'),
      ServiceCIDR: of('ServiceCIDR'),
    },
    problems,
    clashes: contents.clashes,
  };
};

const requireFolder = async (dir: string): Promise<void> => {
  const found = await stat(dir).catch((error: unknown) => {
    throw new Error(`the folder of objects cannot be read: ${describeError(error)}`, { cause: error });
  });
  if (!found.isDirectory()) throw new Error(`the folder of objects cannot be read: ${dir} is no folder`);
};

const objectsOf = (contents: FolderObjects, kind: ObjectKind): readonly RawObject[] =>
  [...contents.entries.values()].filter((entry) => entry.kind === kind).map((entry) => entry.object);

class FolderSource implements ObjectSource {
  readonly #options: FolderOptions;
  readonly #resources: readonly Resource[];
  readonly #reader: FolderReader;
  #current: FolderObjects | undefined;
  #lastFailure = '';
  #unsettled = 0;

  constructor(options: FolderOptions) {
    this.#options = options;
    this.#resources = options.resources ?? resourcesFor(options.nodeName);
    const { dir, debounceMs = DEBOUNCE_MS, now = Date.now } = options;
    this.#reader = new FolderReader(dir, this.#resources, debounceMs, now);
  }

  async run(sink: ObjectSink, signal: AbortSignal): Promise<void> {
    const { dir, log, debounceMs = DEBOUNCE_MS, pollMs = 10_000 } = this.#options;
    const watcher = new FolderWatcher(log);
    log.info({ dir }, 'watching a folder of objects');
    try {
      while (!signal.aborted) {
        const reading = await this.#read();
        if (signal.aborted) break;
        if (reading !== undefined && this.#isPresentable(reading)) await this.#handOver(reading.contents, sink);
        const again = reading !== undefined && (watcher.follow(reading.folders) || !reading.settled);
        if (!again) await watcher.wait(pollMs, signal);
        await pause(debounceMs, signal);
      }
    } finally {
      watcher.close();
    }
  }

  async #read(): Promise<FolderReading | undefined> {
    const { dir, log } = this.#options;
    try {
      const reading = await this.#reader.read();
      this.#lastFailure = '';
      for (const { unreadable, ...problem } of reading.problems) {
        if (unreadable) log.error(problem, 'a file cannot be read, keeping what it said before');
        else log.warn(problem, 'a file has an entry that is no object');
      }
      return reading;
    } catch (error) {
      const failure = describeError(error);
      if (failure !== this.#lastFailure)
        log.error({ dir, error: failure }, 'the folder cannot be read, nothing changes');
      this.#lastFailure = failure;
      return undefined;
    }
  }

  /** Whether a reading may be handed over: the first one waits for files that are being written. */
  #isPresentable(reading: FolderReading): boolean {
    return reading.settled || this.#current !== undefined || ++this.#unsettled > PATIENCE;
  }

  async #handOver(next: FolderObjects, sink: ObjectSink): Promise<void> {
    const before = this.#current;
    this.#current = next;
    for (const clash of next.clashes) {
      if (!before?.clashes.includes(clash)) this.#options.log.warn({ clash }, 'an object is defined twice');
    }
    const kinds = this.#resources.map((resource) => resource.kind);
    if (before === undefined) {
      for (const kind of kinds) await this.#guard(() => sink.replace(kind, objectsOf(next, kind)));
      return;
    }
    for (const { op, entry } of compareContents(before, next, kinds)) {
      await this.#guard(() => sink[op](entry.kind, entry.object));
    }
  }

  /** Logs an error of the sink, which throws none by contract, and goes on with the next object. */
  async #guard(handOver: () => Promise<void> | void): Promise<void> {
    try {
      await handOver();
    } catch (error) {
      this.#options.log.error({ err: error }, 'objects were not taken over');
    }
  }
}
