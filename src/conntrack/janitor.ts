/**
 * Deletes UDP flows that lead nowhere useful, after the rules are in place and off their way: a part of the list at a time,
 * few deletions at a time, and with rests, so that what others make of the list of flows takes a share of this process at most.
 * What fails is tried again.
 */
import { setImmediate as rest } from 'node:timers/promises';
import type { BaseLogger } from 'pino';
import { type IPFamily, isLoopback } from '../model/address.ts';
import { type Entrance, Entrances, entranceFields, entranceOf, type NodePlaces, type Place } from '../model/flows.ts';
import type { NodeContext } from '../model/node.ts';
import type { ServiceEndpoints } from '../model/topology.ts';
import { Connection } from '../netlink/connection.ts';
import { deleteFlows, type Flow, type FlowFilter, visitFlows } from '../netlink/conntrack.ts';
import { openSocket, PROTOCOL } from '../netlink/socket.ts';

export interface JanitorOptions {
  readonly family: IPFamily;
  /** A connection that nobody else uses, for one look. Throws NetlinkError. */
  readonly open: () => Connection;
  /** The node's own addresses, without those of Services: the same array as long as they are the same. */
  readonly localAddresses: () => readonly string[];
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
  /** Looked for stale flows for so long, and deleted so many. */
  readonly onCleaned?: (seconds: number, deleted: number) => void;
}

/** What is about to be written. */
export interface FlowWork {
  readonly node: NodeContext;
  readonly services: readonly ServiceEndpoints[];
  readonly gone: readonly string[];
}

/** The kernel walks all flows for each question: beyond so many entrances it is asked once, for all. */
const MAX_QUESTIONS = 4;
const DELETIONS = 500;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
/** A look that took a second is followed by so many seconds without one. */
const RESTS = 4;
const TURN_MS = 5;

/** A connection for one look. Throws NetlinkError. */
export const openFlows = (): Connection => new Connection(openSocket(PROTOCOL.NETFILTER));

export class Janitor {
  readonly #options: JanitorOptions;
  readonly #entrances = new Entrances();
  #due = new Set<Entrance>();
  /** All entrances are to be looked at. */
  #isAllDue = false;
  /** Where flows came in before this process: not looked through yet. */
  #former: Iterator<Place> | undefined;
  #node: NodeContext | undefined;
  #own: { readonly of: readonly string[]; readonly set: ReadonlySet<string> } = { of: [], set: new Set() };
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #deleted = 0;
  #stopped = false;

  constructor(options: JanitorOptions) {
    this.#options = options;
  }

  /** How many flows were deleted since the start. */
  get deleted(): number {
    return this.#deleted;
  }

  /** Call with work as it is taken: what becomes of a write that fails is looked at when one is done. */
  note({ node, services, gone }: FlowWork): void {
    this.#node = node;
    this.#entrances.note(services, gone);
  }

  /** What the kernel held when this process came: flows to what of it is not wanted go with it. */
  adopted(places: Iterable<Place>): void {
    this.#former = places[Symbol.iterator]();
  }

  /** What a sync brought into the kernel. */
  synced(services: readonly ServiceEndpoints[], gone: readonly string[]): void {
    for (const entrance of this.#entrances.update(services, gone)) this.#due.add(entrance);
    this.#start();
  }

  /** Rules were missing for a while, or others: flows that began then are not led where they should be. */
  repaired(): void {
    this.#isAllDue = true;
    this.#start();
  }

  /** Ends after the deletions under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  get #hasWork(): boolean {
    return this.#due.size > 0 || this.#isAllDue;
  }

  #start(): void {
    if (this.#stopped || !this.#hasWork || this.#running !== undefined || this.#timer !== undefined) return;
    // what is told in the same turn goes into the same look
    this.#running = rest()
      .then(() => this.#clean())
      .then((pauseMs) => {
        this.#running = undefined;
        if (this.#stopped) return;
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#start();
        }, pauseMs);
      });
  }

  /** Gives for how long not to look again. */
  async #clean(): Promise<number> {
    const { family, log, onCleaned } = this.#options;
    const startedAt = performance.now();
    const before = this.#deleted;
    const [entrances, isAll] = [this.#due, this.#isAllDue];
    this.#due = new Set();
    this.#isAllDue = false;
    let retryMs = 0;
    try {
      await this.#cleanThrough(entrances, isAll);
      if (this.#failures > 0) log.info({ ipFamily: family }, 'stale UDP flows can be deleted again');
      this.#failures = 0;
    } catch (error) {
      for (const entrance of entrances) this.#due.add(entrance);
      this.#isAllDue ||= isAll;
      const message = error instanceof Error ? error.message : String(error);
      const words = 'stale UDP flows cannot be deleted for now, clients may have to pause';
      if (this.#failures === 0) log.warn({ ipFamily: family, error: message }, words);
      retryMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
      this.#failures += 1;
    }
    const deleted = this.#deleted - before;
    if (deleted > 0)
      log.info({ ipFamily: family, flows: deleted, sinceStart: this.#deleted }, 'stale UDP flows deleted');
    const tookMs = performance.now() - startedAt;
    onCleaned?.(tookMs / 1_000, deleted);
    return Math.max(retryMs, tookMs * RESTS);
  }

  async #cleanThrough(entrances: Set<Entrance>, isAll: boolean): Promise<void> {
    await this.#takeFormer(entrances);
    if (entrances.size === 0 && this.#entrances.isEmpty) return;
    const connection = this.#options.open();
    try {
      const stale = await this.#findStale(connection, entrances, isAll);
      for (let from = 0; from < stale.length; from += DELETIONS) {
        await rest();
        this.#delete(connection, stale.slice(from, from + DELETIONS));
      }
    } finally {
      connection.close();
    }
  }

  async #takeFormer(entrances: Set<Entrance>): Promise<void> {
    const former = this.#former;
    if (former === undefined) return;
    let until = performance.now() + TURN_MS;
    for (let next = former.next(); next.done !== true; next = former.next()) {
      const entrance = entranceOf(next.value);
      if (entrance !== undefined) entrances.add(entrance);
      if (performance.now() < until) continue;
      await rest();
      until = performance.now() + TURN_MS;
    }
    this.#former = undefined;
  }

  async #findStale(connection: Connection, entrances: ReadonlySet<Entrance>, isAll: boolean): Promise<readonly Flow[]> {
    const stale: Flow[] = [];
    const places = this.#places();
    const among = isAll
      ? { has: (entrance: Entrance) => this.#entrances.has(entrance) || entrances.has(entrance) }
      : entrances;
    for (const question of this.#questions(entrances, isAll)) {
      const isWhole = await visitFlows(connection, question, (flow) => {
        if (this.#entrances.isStale(flow, among, places)) stale.push(flow);
      });
      if (!isWhole) throw new Error('the list of flows was torn');
    }
    return stale;
  }

  #questions(entrances: ReadonlySet<Entrance>, isAll: boolean): readonly FlowFilter[] {
    const all: FlowFilter = { family: this.#options.family, protocol: 'udp' };
    if (isAll || entrances.size > MAX_QUESTIONS) return [all];
    return [...entrances].map((entrance) => ({ ...all, ...entranceFields(entrance) }));
  }

  #places(): NodePlaces {
    const addresses = this.#options.localAddresses();
    if (this.#own.of !== addresses) this.#own = { of: addresses, set: new Set(addresses) };
    const own = this.#own.set;
    const node = this.#node;
    const among = node?.nodePortAddresses ?? 'all';
    return {
      isOfNode: (ip) => own.has(ip),
      hasNodePorts: (ip) => {
        if (isLoopback(ip)) return node?.nodePortsOnLoopback === true;
        return among === 'all' ? own.has(ip) : among.includes(ip);
      },
    };
  }

  #delete(connection: Connection, flows: readonly Flow[]): void {
    const failures = deleteFlows(connection, flows);
    this.#deleted += flows.length - failures.length;
    const [failure] = failures;
    if (failure !== undefined) throw failure.error;
  }
}
