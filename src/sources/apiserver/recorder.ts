/**
 * Records Events in the cluster, in the background and one at a time.
 *
 * Owns the queue and the retries: after some attempts an Event is dropped, as the log has it too. A repeated Event is
 * the same object with a higher count. Nothing here throws, blocks a caller, or grows without bound.
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
  /** Time-out of one request. */
  readonly withinMs: number;
  readonly backoffFirstMs: number;
  readonly backoffMaxMs: number;
  /** Time for queued Events at shutdown. */
  readonly shutdownGraceMs: number;
}

export interface RecorderOptions {
  readonly connection: ApiConnection;
  /** Name of the reporting node. */
  readonly instance: string;
  readonly log: Log;
  readonly timing?: Partial<RecorderTiming>;
  /** Wall clock for times in Events, milliseconds since 1970. */
  readonly now?: () => number;
  /** Monotonic clock in milliseconds, for waits and limits. */
  readonly clock?: () => number;
  readonly random?: () => number;
}

/** Events so far, by result. */
export interface EventCounts {
  /** Created, or their count raised. */
  readonly written: number;
  /** Dropped by the rate limit of one object. */
  readonly limited: number;
  /** Dropped: the API server was unavailable for too long, or refused them. */
  readonly lost: number;
}

interface QueuedEvent {
  readonly event: EventText;
  readonly name: string;
  readonly firstAt: number;
  lastAt: number;
  /** On the monotonic clock. */
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
/** Attempts for one Event, as in client-go. */
const TRIES = 12;
/** Time without a repetition after which an equal Event is a new one. */
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
  /** Recent Events, by the fields that make them equal. */
  readonly #recent = new Map<string, QueuedEvent>();
  readonly #queue: QueuedEvent[] = [];
  /** Namespaces in which this client may not create Events. */
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

  /** Live counters. */
  get counts(): EventCounts {
    return this.#counts;
  }

  /** Queues an Event; returns at once. */
  record(text: EventText): void {
    const event = { ...text, note: cutNote(text.note) };
    const { kind, name } = event.regarding;
    if (this.#ending.signal.aborted || this.#forbidden.has(namespaceOf(event))) return;
    const queued = this.#recentOrNew(event);
    queued.count += 1;
    queued.lastAt = this.#now();
    queued.recordedAt = this.#clock();
    if (queued.isQueued) return; // sent with the count that it has by then
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

  /** Tries queued Events once more within the grace period, then drops them. */
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
    await Promise.resolve(); // callers continue before the first request
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

  /**
   * Tries to write an Event; returns the error when another attempt is due, undefined when this Event is done or
   * dropped.
   */
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
    queued.isQueued = false; // a repetition during the request is queued again
    if (!queued.isMade) return this.#make(call, queued);
    await patch(call, path, 'merge-patch', seriesBody(queued)).catch((error: unknown) => {
      if (!(error instanceof ApiError && error.code === 404)) throw error;
      return this.#make(call, queued); // expired: Events live for an hour
    });
  }

  async #make(call: Call, queued: QueuedEvent): Promise<void> {
    const { name, firstAt, count, lastAt } = queued;
    const event = await withUid(call, queued.event);
    const body = eventBody(event, { name, instance: this.#options.instance, firstAt, series: { count, lastAt } });
    await create(call, eventsPath(namespaceOf(event)), body).catch((error: unknown) => {
      // created by an earlier attempt whose answer was lost
      if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error;
    });
    queued.isMade = true;
  }

  /** Whether another attempt is useless; logs the reason. */
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

/** Missing permission. A namespace that is being deleted refuses creations with the same code. */
const isForbidden = (error: unknown): boolean =>
  error instanceof ApiError && error.code === 403 && !error.causes.includes('NamespaceTerminating');

/** Looks up a missing uid: `kubectl describe` shows only Events with the uid of the object. */
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
