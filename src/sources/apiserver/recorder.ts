/**
 * Tells the cluster what happens, as Events: beside the work, one after the other, and never at its expense.
 *
 * Owns the queue and what is done when the API server is away: some tries, then the Event is lost, as the log has it anyway.
 * The same Event again is the same object with a higher count. Nothing here throws, waits for anybody, or grows.
 */
import { randomBytes } from 'node:crypto';
import { pause } from '../../dataplane/pause.ts';
import { dig, digText } from '../raw.ts';
import type { Log } from '../source.ts';
import { createBackoff } from './backoff.ts';
import type { ApiConnection } from './connection.ts';
import { ApiError, isRefusal } from './errors.ts';
import { cutNote, type EventText, eventBody, eventName, eventsPath, namespaceOf, seriesBody } from './event.ts';
import { EventLimits } from './event-limits.ts';
import { evictOldest } from './evict-oldest.ts';
import { createRateLimitedLog } from './rate-limited-log.ts';
import { type Call, create, patch, read } from './write.ts';

export interface RecorderTiming {
  /** For one request. */
  readonly withinMs: number;
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  /** What is still to be told at the end has so long. */
  readonly shutdownGraceMs: number;
}

export interface RecorderOptions {
  readonly connection: ApiConnection;
  /** The node that tells. */
  readonly instance: string;
  readonly log: Log;
  readonly timing?: Partial<RecorderTiming>;
  /** Milliseconds since 1970, for what is shown. */
  readonly now?: () => number;
  /** Milliseconds of a clock that nobody sets, for waits and limits. */
  readonly clock?: () => number;
  readonly random?: () => number;
}

/** What became of Events so far. */
export interface EventCounts {
  /** Made, or their count raised. */
  readonly written: number;
  /** Held back, as there were too many about one object. */
  readonly limited: number;
  /** The API server was away for too long, or did not want them. */
  readonly lost: number;
}

interface QueuedEvent {
  readonly event: EventText;
  readonly name: string;
  readonly firstAt: number;
  lastAt: number;
  /** By the clock that nobody sets. */
  recordedAt: number;
  count: number;
  isQueued: boolean;
  isMade: boolean;
}

const DEFAULT_TIMING: RecorderTiming = {
  withinMs: 10_000,
  backoffFirstMs: 1_000,
  backoffMaxMs: 30_000,
  shutdownGraceMs: 2_000,
};
/** As client-go. */
const TRIES = 12;
/** What is not repeated for so long is something new when it comes again. */
const SERIES_MS = 360_000;
const QUEUE = 100;
const MEMORY = 100;
const REPEAT_LOG_MS = 600_000;

export class EventRecorder {
  readonly #options: RecorderOptions;
  readonly #timing: RecorderTiming;
  readonly #now: () => number;
  readonly #clock: () => number;
  readonly #limits: EventLimits;
  readonly #limitedLog: ReturnType<typeof createRateLimitedLog>;
  readonly #counts = { written: 0, limited: 0, lost: 0 };
  /** What was told of late, by all that makes it the same. */
  readonly #recent = new Map<string, QueuedEvent>();
  readonly #queue: QueuedEvent[] = [];
  /** Namespaces in which we may not. */
  readonly #forbidden = new Set<string>();
  readonly #ending = new AbortController();
  readonly #cutOff = new AbortController();
  #sending: Promise<void> | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#now = options.now ?? Date.now;
    this.#clock = options.clock ?? (() => performance.now());
    this.#limits = new EventLimits(this.#clock);
    this.#limitedLog = createRateLimitedLog(options.log, REPEAT_LOG_MS, this.#clock);
  }

  /** Live. */
  get counts(): EventCounts {
    return this.#counts;
  }

  /** To be told as soon as may be; returns at once. */
  record(text: EventText): void {
    const event = { ...text, note: cutNote(text.note) };
    const { kind, name } = event.regarding;
    if (this.#ending.signal.aborted || this.#forbidden.has(namespaceOf(event))) return;
    const queued = this.#recentOrNew(event);
    queued.count += 1;
    queued.lastAt = this.#now();
    queued.recordedAt = this.#clock();
    if (queued.isQueued) return; // goes out with the count it has by then
    if (!this.#limits.take(`${kind} ${event.regarding.namespace ?? ''}/${name}`)) {
      this.#counts.limited += 1;
      return;
    }
    if (this.#queue.length >= QUEUE) {
      this.#counts.lost += 1;
      return;
    }
    queued.isQueued = true;
    this.#queue.push(queued);
    this.#sending ??= this.#sendAll();
  }

  /** Tries once more what is still to be told, for a short time; then it is lost. */
  async stop(): Promise<void> {
    this.#ending.abort();
    const timer = setTimeout(() => this.#cutOff.abort(), this.#timing.shutdownGraceMs);
    await this.#sending;
    clearTimeout(timer);
  }

  #recentOrNew(event: EventText): QueuedEvent {
    const key = JSON.stringify(event);
    const known = this.#recent.get(key);
    this.#recent.delete(key);
    evictOldest(this.#recent, MEMORY);
    const isOver = known === undefined || this.#clock() - known.recordedAt > SERIES_MS;
    const queued = isOver ? this.#newEvent(event) : known;
    this.#recent.set(key, queued);
    return queued;
  }

  #newEvent(event: EventText): QueuedEvent {
    const name = eventName(event.regarding.name, randomBytes(8).toString('hex'));
    const now = this.#now();
    return {
      event,
      name,
      firstAt: now,
      lastAt: now,
      recordedAt: this.#clock(),
      count: 0,
      isQueued: false,
      isMade: false,
    };
  }

  async #sendAll(): Promise<void> {
    await Promise.resolve(); // whoever tells goes on first
    for (let queued = this.#queue.shift(); queued !== undefined; queued = this.#queue.shift()) await this.#send(queued);
    this.#sending = undefined;
  }

  async #send(queued: QueuedEvent): Promise<void> {
    const { backoffFirstMs, backoffMaxMs } = this.#timing;
    const backoff = createBackoff(
      { backoffFirstMs, backoffMaxMs, healthyMs: SERIES_MS },
      this.#clock,
      this.#options.random ?? Math.random,
    );
    for (let tries = 1; ; tries += 1) {
      const error = await this.#try(queued, tries);
      if (error === undefined) return;
      const asked = error instanceof ApiError ? Math.min(error.retryAfterMs, backoffMaxMs) : 0;
      await pause(asked + backoff(), this.#ending.signal);
    }
  }

  /** Gives what is in the way just now; undefined when it is over with this Event, for good or ill. */
  async #try(queued: QueuedEvent, tries: number): Promise<Error | undefined> {
    const isAllowed = !this.#forbidden.has(namespaceOf(queued.event));
    try {
      if (isAllowed) await this.#write(queued);
      this.#counts[isAllowed ? 'written' : 'lost'] += 1;
      return undefined;
    } catch (error) {
      const isOver = this.#isFinal(error, queued.event) || tries === TRIES;
      queued.isQueued = !isOver;
      if (isOver) this.#counts.lost += 1;
      return isOver ? undefined : (error as Error);
    }
  }

  async #write(queued: QueuedEvent): Promise<void> {
    const { connection } = this.#options;
    const call = { connection, signal: this.#cutOff.signal, withinMs: this.#timing.withinMs };
    const path = eventsPath(namespaceOf(queued.event), queued.name);
    queued.isQueued = false; // what happens while this is under way is told of by itself
    if (!queued.isMade) return this.#make(call, queued);
    await patch(call, path, 'merge-patch', seriesBody(queued)).catch((error: unknown) => {
      if (!(error instanceof ApiError && error.code === 404)) throw error;
      return this.#make(call, queued); // Events live for an hour
    });
  }

  async #make(call: Call, queued: QueuedEvent): Promise<void> {
    const { name, firstAt, count, lastAt } = queued;
    const event = await withUid(call, queued.event);
    const body = eventBody(event, { name, instance: this.#options.instance, firstAt, series: { count, lastAt } });
    await create(call, eventsPath(namespaceOf(event)), body).catch((error: unknown) => {
      // our own, of a try whose answer did not come
      if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error;
    });
    queued.isMade = true;
  }

  /** Whether another try is of no use; what there is to say of it is said. */
  #isFinal(error: unknown, event: EventText): boolean {
    const { reason } = event;
    const namespace = namespaceOf(event);
    if (isForbidden(error)) {
      this.#forbidden.add(namespace);
      this.#limitedLog.say(
        'warn',
        { namespace },
        'the API server lets us write no Events: from now on there are none',
        error,
      );
      return true;
    }
    if (isRefusal(error)) {
      this.#limitedLog.say('warn', { namespace, reason }, 'an Event is refused, and left out', error);
      return true;
    }
    this.#limitedLog.say('info', { namespace, reason }, 'an Event cannot be written yet', error);
    return this.#ending.signal.aborted;
  }
}

/** Rights that we have not. A namespace that is being deleted takes nothing new from anybody, with the same code. */
const isForbidden = (error: unknown): boolean =>
  error instanceof ApiError && error.code === 403 && !error.causes.includes('NamespaceTerminating');

/** `kubectl describe` shows the Events of the one object with this uid, so it is looked up where nobody knew it. */
const withUid = async (call: Call, event: EventText): Promise<EventText> => {
  const { kind, namespace, name, uid } = event.regarding;
  if (uid !== undefined || kind !== 'Service' || namespace === undefined) return event;
  const query = new URLSearchParams({ fieldSelector: `metadata.name=${name}` });
  const list = await read(call, `/api/v1/namespaces/${namespace}/services?${query}`).catch((error: unknown) => {
    if (isRefusal(error)) return {};
    throw error;
  });
  const items = dig(list, 'items');
  const found = Array.isArray(items) ? digText(items[0], 'metadata', 'uid') : '';
  return found === '' ? event : { ...event, regarding: { ...event.regarding, uid: found } };
};
