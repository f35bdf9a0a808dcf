/**
 * Keeps a sink equal to one resource of an API server: list, watch from there, and whatever it takes to go on.
 *
 * Owns the state between requests: the last version, which kind of list is needed next, and what an error means for
 * either. Nothing is ever removed from the sink because a server cannot be reached.
 */
import type { ObjectKind, ObjectSink } from '../../model/kubernetes.ts';
import { pause } from '../pause.ts';
import { digText, type RawObject } from '../raw.ts';
import type { Resource } from '../resources.ts';
import { describeError, type Log } from '../source.ts';
import type { Announcer } from './announcer.ts';
import { type Backoff, createBackoff } from './backoff.ts';
import type { Connection } from './connection.ts';
import {
  ApiError,
  HistoryLost,
  isRefusal,
  needsFreshList,
  ProtocolError,
  Silence,
  StreamingRefused,
} from './errors.ts';
import { collectionPath, listAll } from './list.ts';
import type { Timing } from './timing.ts';
import { openWatch, type WatchEvent } from './watch.ts';

export interface ReflectorStats {
  /** How often the whole contents were handed over, the first time included. */
  relists: number;
  /** Watch requests after the first. */
  watchRestarts: number;
  /** When the last event or bookmark came, milliseconds since 1970; 0 = never. */
  lastEventAt: number;
  /** Empty as long as nothing went wrong. */
  lastError: string;
}

export interface ReflectorOptions {
  readonly connection: Connection;
  readonly resource: Resource;
  readonly sink: ObjectSink;
  readonly log: Log;
  readonly announcer: Announcer;
  readonly timing: Timing;
  readonly now: () => number;
  readonly random: () => number;
  readonly stats: ReflectorStats;
}

/** What is needed next. A list may be of any age at first, not older than what we have later, or must be the newest. */
type Need = 'any-list' | 'known-list' | 'fresh-list' | 'watch';

/** So many watches in a row that fail on their contents, and the version we resume from is to blame. */
const STUCK = 2;

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #kind: ObjectKind;
  readonly #backoff: Backoff;
  #need: Need = 'any-list';
  #version = '';
  #streaming = true;
  #synced = false;
  #stuck = 0;
  #watches = 0;
  #failing = false;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#kind = options.resource.kind;
    this.#backoff = createBackoff(options.timing, options.now, options.random);
  }

  /** Resolves when aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let delay = 0;
      try {
        await (this.#need === 'watch' ? this.#watch(signal) : this.#list(signal));
      } catch (error) {
        if (signal.aborted) return;
        delay = this.#recover(error);
      }
      await pause(delay, signal);
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    let refusal: unknown;
    if (this.#streaming) {
      try {
        return await this.#stream(signal);
      } catch (error) {
        if (signal.aborted || !this.#mayListInstead(error)) throw error;
        refusal = error;
      }
    }
    const { connection, resource, timing, announcer } = this.#options;
    const version = { 'any-list': '0', 'known-list': this.#version, 'fresh-list': '', watch: '' }[this.#need];
    const listing = await listAll(connection, resource, version, timing.bodySilenceMs, signal);
    if (listing.strays > 0)
      announcer.say('warn', { kind: this.#kind, count: listing.strays }, 'entries of a list are no objects');
    this.#answered();
    // what is silent may only have died, but what lists and does not stream is a server without streaming lists
    if (refusal !== undefined && !(refusal instanceof Silence)) {
      this.#streaming = false;
      announcer.say('info', { kind: this.#kind }, 'no streaming lists from this API server', refusal);
    }
    this.#replace(listing.objects, listing.version);
  }

  /** A streaming list: the server sends what there is as events, marks the end, and goes on as a watch. */
  async #stream(signal: AbortSignal): Promise<void> {
    const initial = new Map<string, RawObject>();
    const events = await this.#open(
      {
        resourceVersion: this.#need === 'known-list' ? this.#version : '',
        resourceVersionMatch: 'NotOlderThan',
        sendInitialEvents: 'true',
      },
      this.#options.timing.initialSilenceMs,
      signal,
    );
    for await (const event of events) {
      if (this.#need === 'watch') {
        this.#handle(event);
      } else if (event.type === 'bookmark') {
        if (!event.endsInitial) throw new StreamingRefused('the server does not mark the end of initial events');
        this.#replace([...initial.values()], event.version);
        initial.clear();
      } else {
        const key = `${digText(event.object, 'metadata', 'namespace')}/${digText(event.object, 'metadata', 'name')}`;
        if (event.type === 'put') initial.set(key, event.object);
        else initial.delete(key);
      }
    }
    if (this.#need !== 'watch') throw new Error('the server closed the stream before the end of the initial events');
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { now, timing } = this.#options;
    const startedAt = now();
    let count = 0;
    for await (const event of await this.#open({ resourceVersion: this.#version }, 0, signal)) {
      count += 1;
      this.#handle(event);
    }
    // a server that closes each watch at once would be asked thousands of times a second
    if (count === 0 && now() - startedAt < timing.shortWatchMs) throw new Error('the server closed the watch at once');
  }

  async #open(
    parameters: Readonly<Record<string, string>>,
    initialSilenceMs: number,
    signal: AbortSignal,
  ): Promise<AsyncGenerator<WatchEvent, void>> {
    const { connection, resource, timing, random, stats } = this.#options;
    const [least, most] = timing.watchSeconds;
    const seconds = Math.round(least + random() * (most - least));
    const query = { watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: String(seconds), ...parameters };
    if (this.#watches++ > 0) stats.watchRestarts += 1;
    const events = await openWatch(
      connection,
      collectionPath(resource, query),
      { ...timing, initialSilenceMs, deadlineMs: seconds * 1000 + timing.deadlineGraceMs },
      signal,
    );
    this.#answered();
    return events;
  }

  #replace(objects: readonly RawObject[], version: string): void {
    const { sink, stats, now } = this.#options;
    this.#version = version;
    this.#need = 'watch';
    this.#synced = true;
    this.#stuck = 0;
    stats.relists += 1;
    stats.lastEventAt = now();
    this.#guard(() => sink.replace(this.#kind, objects));
  }

  #handle(event: WatchEvent): void {
    const { sink, stats, now } = this.#options;
    if (event.type === 'bookmark' && isOlder(event.version, this.#version)) {
      throw new HistoryLost(`the server is at version ${event.version}, and was at ${this.#version} before`);
    }
    if (event.version !== '') this.#version = event.version;
    this.#stuck = 0;
    stats.lastEventAt = now();
    if (event.type === 'put') this.#guard(() => sink.put(this.#kind, event.object));
    else if (event.type === 'remove') this.#guard(() => sink.remove(this.#kind, event.object));
  }

  /** Sinks do not throw; if one does, the next events must come through all the same. */
  #guard(handOver: () => void): void {
    try {
      handOver();
    } catch (error) {
      this.#options.log.error({ kind: this.#kind, err: error }, 'objects were not taken over');
    }
  }

  /** Whether a streaming list that failed is a reason to list in the ordinary way. */
  #mayListInstead(error: unknown): boolean {
    if (this.#need === 'watch') return false; // the list was complete, it is the watch that failed
    return error instanceof Silence || error instanceof StreamingRefused || isRefusal(error);
  }

  /** Decides what is needed after an error; returns how long to wait before. */
  #recover(error: unknown): number {
    const { resource, stats, announcer, connection, timing, sink, random } = this.#options;
    if (resource.optional && !this.#synced && error instanceof ApiError && error.code === 404) {
      this.#answered();
      announcer.say('info', { kind: this.#kind }, 'this cluster lacks the resource; looking again now and then');
      if (stats.relists++ === 0) this.#guard(() => sink.replace(this.#kind, []));
      return timing.missingRetryMs * (1 + random());
    }
    stats.lastError = describeError(error);
    this.#failing = true;
    announcer.say('warn', { kind: this.#kind, server: connection.server }, SAYING[this.#need], error);
    if (needsFreshList(error)) {
      this.#need = 'fresh-list';
    } else if (this.#need === 'watch') {
      const bad = error instanceof ProtocolError || (error instanceof ApiError && error.inStream);
      if (bad) this.#stuck += 1;
      if (isRefusal(error) || this.#stuck >= STUCK) this.#need = 'known-list';
    }
    const asked = error instanceof ApiError ? Math.min(error.retryAfterMs, timing.retryAfterMaxMs) : 0;
    return asked + this.#backoff();
  }

  #answered(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#options.announcer.say('info', { server: this.#options.connection.server }, 'the API server answers again');
  }
}

const SAYING: Readonly<Record<Need, string>> = {
  'any-list': 'objects cannot be listed yet, trying again',
  'known-list': 'objects cannot be listed again, trying again',
  'fresh-list': 'objects cannot be listed again, trying again',
  watch: 'a watch broke, resuming',
};

/** Versions grow, and are decimal numbers of any size; others cannot be compared. */
const isOlder = (version: string, than: string): boolean =>
  /^\d+$/.test(version) && /^\d+$/.test(than) && BigInt(version) < BigInt(than);
