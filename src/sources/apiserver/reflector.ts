/**
 * Keeps a sink equal to one resource of an API server: list, watch, and recovery.
 *
 * Owns the state between requests: the last resourceVersion, which list is needed next, and what an error means for
 * both. Nothing is removed from the sink because a server is unreachable.
 */

import type { pause } from '../../dataplane/pause.ts';
import type { ObjectKind, ObjectSink } from '../../model/kubernetes.ts';
import type { Missing } from '../../model/missing.ts';
import type { RawObject } from '../raw.ts';
import type { Resource } from '../resources.ts';
import { describeError, type Log } from '../source.ts';
import type { ApiConnection } from './connection.ts';
import { ApiError, isOutage, isRefusal, Silence, StreamingRefused } from './errors.ts';
import { GuardedSink } from './guarded-sink.ts';
import { InitialObjects } from './initial-objects.ts';
import { collectionPath, listAll } from './list.ts';
import type { Outage } from './outage.ts';
import { type NextRequest, Position } from './position.ts';
import type { RateLimitedLog } from './rate-limited-log.ts';
import { Retries } from './retries.ts';
import type { Timing } from './timing.ts';
import { openWatch, type WatchEvent } from './watch.ts';

export interface ReflectorStats {
  /** Number of times the whole contents were handed over, the first included. */
  relists: number;
  /** Number of watch requests after the first. */
  watchRestarts: number;
  /** Time of the last event or bookmark, on `clock`; 0 = never. */
  lastEventAt: number;
  /** Last error; empty = none so far. */
  lastError: string;
}

export interface ReflectorOptions {
  readonly connection: ApiConnection;
  readonly resource: Resource;
  readonly sink: ObjectSink;
  readonly log: Log;
  readonly limitedLog: RateLimitedLog;
  readonly timing: Timing;
  /** Outage state of the connection. */
  readonly outage: Outage;
  /** Monotonic clock in milliseconds. */
  readonly clock: () => number;
  readonly random: () => number;
  readonly pause: typeof pause;
  readonly stats: ReflectorStats;
  /** Called after the whole contents were handed over for the first time. */
  readonly onSynced: () => void;
}

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #kind: ObjectKind;
  readonly #sink: GuardedSink;
  readonly #retries: Retries;
  readonly #position = new Position();
  /** Time from which a streaming list may be requested, on `clock`. */
  #streamsFrom = 0;
  #synced = false;
  /** Why an empty list was handed over in place of a failed one. */
  #missing: Omit<Missing, 'what'> | undefined;
  #watches = 0;
  #failing = false;
  /** Whether the last attempt found the server unavailable. */
  #isOut = false;
  /** Time at which the server accepted the attempt under way, on `clock`; undefined = not yet. */
  #acceptedAt: number | undefined;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#kind = options.resource.kind;
    this.#sink = new GuardedSink(options.sink, this.#kind, options.log);
    this.#retries = new Retries(options.timing, options.random);
  }

  get kind(): ObjectKind {
    return this.#kind;
  }

  get need(): Resource['need'] {
    return this.#options.resource.need;
  }

  /** Why this kind counts as empty; undefined when it was listed, or is still awaited. */
  get missing(): Omit<Missing, 'what'> | undefined {
    return this.#missing;
  }

  /** Resolves when aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { outage, pause } = this.#options;
    while (!signal.aborted) {
      let delay = 0;
      if (this.#isOut) await outage.turn(signal);
      if (signal.aborted) return;
      this.#acceptedAt = undefined;
      try {
        delay = await (this.#position.need === 'watch' ? this.#watch(signal) : this.#list(signal));
      } catch (error) {
        if (signal.aborted) return;
        delay = this.#recover(error);
      }
      await pause(delay, signal);
    }
  }

  /**
   * Hands over an empty list in place of the first one, which is retried rarely. Does nothing after a list was handed
   * over.
   */
  presentEmpty(): void {
    if (this.#synced || this.#missing !== undefined) return;
    this.#missing = { why: this.#options.stats.lastError || 'the API server does not answer' };
    this.#options.stats.relists += 1;
    void this.#sink.replace([]);
  }

  /** Lists, streaming where supported. Like all attempts returns the wait before the next one. */
  async #list(signal: AbortSignal): Promise<number> {
    let refusal: unknown;
    if (this.#options.clock() >= this.#streamsFrom) {
      try {
        return await this.#stream(signal);
      } catch (error) {
        if (signal.aborted || !this.#mayListInstead(error)) throw error;
        refusal = error;
      }
    }
    const { connection, resource, timing, limitedLog, clock } = this.#options;
    this.#acceptedAt = undefined;
    const listing = await listAll(connection, resource, this.#position.listVersion, timing.bodySilenceMs, signal);
    if (listing.strays > 0)
      limitedLog.say('warn', { kind: this.#kind, count: listing.strays }, 'entries of a list are no objects');
    this.#answered();
    // silence may be a broken connection; a server that lists and does not stream lacks streaming lists
    if (refusal !== undefined && !(refusal instanceof Silence)) {
      this.#streamsFrom = clock() + timing.missingRetryMs; // the server may be upgraded by then
      limitedLog.say('info', { kind: this.#kind }, 'no streaming lists from this API server', refusal);
    }
    await this.#replace(listing.objects, listing.version);
    return 0;
  }

  /** Streaming list: the server sends the present objects as events, marks their end, and continues as a watch. */
  async #stream(signal: AbortSignal): Promise<number> {
    const initial = new InitialObjects();
    const events = await this.#open(
      {
        resourceVersion: this.#position.need === 'known-list' ? this.#position.version : '',
        resourceVersionMatch: 'NotOlderThan',
        sendInitialEvents: 'true',
      },
      this.#options.timing.initialSilenceMs,
      signal,
    );
    for await (const event of events) {
      if (this.#position.need === 'watch') {
        this.#handle(event);
      } else if (event.type === 'bookmark') {
        if (!event.endsInitial) throw new StreamingRefused('the server does not mark the end of initial events');
        await this.#replace(initial.take(), event.version);
      } else initial.apply(event);
    }
    if (this.#position.need !== 'watch')
      throw new Error('the server closed the stream before the end of the initial events');
    return this.#retries.closed(this.#isShort());
  }

  async #watch(signal: AbortSignal): Promise<number> {
    let count = 0;
    for await (const event of await this.#open({ resourceVersion: this.#position.version }, 0, signal)) {
      count += 1;
      this.#handle(event);
    }
    if (count === 0 && this.#isShort()) throw new Error('the server closed the watch at once');
    return this.#retries.closed(this.#isShort());
  }

  /** Whether the stream under way was accepted only recently. */
  #isShort(): boolean {
    const { clock, timing } = this.#options;
    return this.#acceptedAt === undefined || clock() - this.#acceptedAt < timing.shortWatchMs;
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

  /** Hands over the whole contents; events that arrive meanwhile wait. */
  async #replace(objects: readonly RawObject[], version: string): Promise<void> {
    const { stats, clock } = this.#options;
    const isFirst = !this.#synced;
    this.#position.listed(version);
    this.#synced = true;
    this.#missing = undefined;
    this.#retries.worked();
    stats.relists += 1;
    stats.lastEventAt = clock();
    await this.#sink.replace(objects);
    if (isFirst) this.#options.onSynced();
  }

  #handle(event: WatchEvent): void {
    const { stats, clock } = this.#options;
    this.#position.advanced(event.version, event.type === 'bookmark');
    this.#retries.worked();
    stats.lastEventAt = clock();
    if (event.type !== 'bookmark') this.#sink.apply(event);
  }

  /** Whether a failed streaming list is replaced by an ordinary list. */
  #mayListInstead(error: unknown): boolean {
    if (this.#position.need === 'watch') return false; // the list was complete, and the watch failed
    return error instanceof Silence || error instanceof StreamingRefused || isRefusal(error);
  }

  /** Decides the next request after an error; returns the wait before it. */
  #recover(error: unknown): number {
    const { outage, timing, resource } = this.#options;
    const isAccepted = this.#acceptedAt !== undefined;
    this.#isOut = !isAccepted && isOutage(error);
    if (this.#isOut) outage.failed();
    else if (error instanceof ApiError) outage.answered();
    if (isAccepted && !this.#isShort()) this.#retries.worked();
    this.#logFailure(error);
    const isExpired = this.#position.failed(error);
    if (this.#isOut || isExpired) return 0; // an outage has its own wait
    const isRare = this.#missing !== undefined && resource.need === 'optional' && error instanceof ApiError;
    return this.#retries.failed(error, isRare ? timing.missingRetryMs : undefined);
  }

  #logFailure(error: unknown): void {
    const { stats, limitedLog, connection, resource } = this.#options;
    const fields = { kind: this.#kind, server: connection.server };
    if (resource.need === 'optional' && !this.#synced && error instanceof ApiError && error.code === 404) {
      this.#answered();
      if (this.#missing?.isExpected !== true)
        limitedLog.say('info', fields, 'this cluster lacks the resource; looking again now and then');
      this.presentEmpty();
      this.#missing = { why: describeError(error), isExpected: true };
      return;
    }
    stats.lastError = describeError(error);
    if (this.#missing !== undefined) {
      this.#missing = { why: stats.lastError }; // reported as missing, not as an error
      return;
    }
    this.#failing = true;
    limitedLog.say('warn', fields, FAILURE_MESSAGE[this.#position.need], error);
  }

  #answered(): void {
    this.#acceptedAt = this.#options.clock();
    this.#isOut = false;
    this.#options.outage.answered();
    if (!this.#failing) return;
    this.#failing = false;
    this.#options.limitedLog.say('info', { server: this.#options.connection.server }, 'the API server answers again');
  }
}

const FAILURE_MESSAGE: Readonly<Record<NextRequest, string>> = {
  'any-list': 'objects cannot be listed yet, trying again',
  'known-list': 'objects cannot be listed again, trying again',
  'fresh-list': 'objects cannot be listed again, trying again',
  watch: 'a watch broke, resuming',
};
