/**
 * Deletes stale UDP flows after a sync, off the sync's path.
 *
 * Conntrack is dumped in parts and deletions are sent in batches, with pauses proportional to the time taken, so that a
 * conntrack table filled by clients takes a bounded share of this process. Failed passes are retried.
 */
import { setImmediate as rest } from 'node:timers/promises';
import type { BaseLogger } from 'pino';
import { type IPFamily, isLoopback } from '../model/address.ts';
import { destinationOf, type FrontendKey, frontendKeyOf, type NodePortMatch, UdpFrontends } from '../model/flows.ts';
import type { AddressPort } from '../model/frontend.ts';
import type { NodeContext } from '../model/node.ts';
import type { ServiceEndpoints } from '../model/topology.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { deleteFlows, type Flow, type FlowFilter, visitFlows } from '../netlink/conntrack.ts';
import { openSocket, PROTOCOL } from '../netlink/socket.ts';

export interface StaleFlowCleanerOptions {
  readonly family: IPFamily;
  /** Opens a connection for one pass, which nothing else uses. Throws NetlinkError. */
  readonly open: () => NetlinkConnection;
  /** Addresses of the node without those of Services; the same array as long as they are unchanged. */
  readonly localAddresses: () => readonly string[];
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
  /** Called after a pass with its duration and the number of deleted flows. */
  readonly onCleaned?: (seconds: number, deleted: number) => void;
}

/** Services and removals of a sync that is about to be written. */
export interface FlowWork {
  readonly node: NodeContext;
  readonly services: readonly ServiceEndpoints[];
  readonly gone: readonly string[];
}

/**
 * Number of frontends up to which the kernel filters the dump; it walks all flows for each filter, so more entrances
 * are matched in one unfiltered dump.
 */
const MAX_FILTERED_DUMPS = 4;
const DELETIONS = 500;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 30_000;
/** Ratio of the pause after a pass to the pass's duration. */
const REST_FACTOR = 4;
const TURN_MS = 5;

/** Opens a connection for one pass. Throws NetlinkError. */
export const openConntrack = (): NetlinkConnection => new NetlinkConnection(openSocket(PROTOCOL.NETFILTER));

export class StaleFlowCleaner {
  readonly #options: StaleFlowCleanerOptions;
  readonly #frontends = new UdpFrontends();
  #due = new Set<FrontendKey>();
  /** Whether the next pass checks all frontends. */
  #isAllDue = false;
  /** Frontends that the previous process served, not yet added to a pass. */
  #previous: Iterator<AddressPort> | undefined;
  #node: NodeContext | undefined;
  #own: { readonly of: readonly string[]; readonly set: ReadonlySet<string> } = { of: [], set: new Set() };
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #deleted = 0;
  #stopped = false;

  constructor(options: StaleFlowCleanerOptions) {
    this.#options = options;
  }

  /** Number of flows deleted since the start. */
  get deleted(): number {
    return this.#deleted;
  }

  /**
   * Notes the work of a sync before it is written, so that the flows of a failed write are checked after the next
   * successful one.
   */
  note({ node, services, gone }: FlowWork): void {
    this.#node = node;
    this.#frontends.note(services, gone);
  }

  /**
   * Takes the frontends that were read back from the kernel at start; flows to those that are no longer wanted are
   * deleted.
   */
  adopted(places: Iterable<AddressPort>): void {
    this.#previous = places[Symbol.iterator]();
  }

  /** Schedules a pass over the frontends that a sync changed. */
  synced(services: readonly ServiceEndpoints[], gone: readonly string[]): void {
    for (const frontend of this.#frontends.update(services, gone)) this.#due.add(frontend);
    this.#start();
  }

  /** Schedules a pass over all frontends after drift was repaired: flows that began meanwhile may bypass the rules. */
  repaired(): void {
    this.#isAllDue = true;
    this.#start();
  }

  /** Stops; resolves after the pass under way. */
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
    // calls in the same turn of the event loop share a pass
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

  /** Runs one pass; returns the pause after it in milliseconds. */
  async #clean(): Promise<number> {
    const { family, log, onCleaned } = this.#options;
    const startedAt = performance.now();
    const before = this.#deleted;
    const [frontends, isAll] = [this.#due, this.#isAllDue];
    this.#due = new Set();
    this.#isAllDue = false;
    let retryMs = 0;
    try {
      await this.#cleanThrough(frontends, isAll);
      if (this.#failures > 0) log.info({ ipFamily: family }, 'stale UDP flows can be deleted again');
      this.#failures = 0;
    } catch (error) {
      for (const frontend of frontends) this.#due.add(frontend);
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
    return Math.max(retryMs, tookMs * REST_FACTOR);
  }

  async #cleanThrough(frontends: Set<FrontendKey>, isAll: boolean): Promise<void> {
    await this.#addPrevious(frontends);
    if (frontends.size === 0 && this.#frontends.isEmpty) return;
    const connection = this.#options.open();
    try {
      const stale = await this.#findStale(connection, frontends, isAll);
      for (let from = 0; from < stale.length; from += DELETIONS) {
        await rest();
        this.#delete(connection, stale.slice(from, from + DELETIONS));
      }
    } finally {
      connection.close();
    }
  }

  async #addPrevious(frontends: Set<FrontendKey>): Promise<void> {
    const previous = this.#previous;
    if (previous === undefined) return;
    let until = performance.now() + TURN_MS;
    for (let next = previous.next(); next.done !== true; next = previous.next()) {
      const frontend = frontendKeyOf(next.value);
      if (frontend !== undefined) frontends.add(frontend);
      if (performance.now() < until) continue;
      await rest();
      until = performance.now() + TURN_MS;
    }
    this.#previous = undefined;
  }

  async #findStale(
    connection: NetlinkConnection,
    frontends: ReadonlySet<FrontendKey>,
    isAll: boolean,
  ): Promise<readonly Flow[]> {
    const stale: Flow[] = [];
    const places = this.#places();
    const among = isAll
      ? { has: (frontend: FrontendKey) => this.#frontends.has(frontend) || frontends.has(frontend) }
      : frontends;
    for (const filter of this.#filters(frontends, isAll)) {
      const isWhole = await visitFlows(connection, filter, (flow) => {
        if (this.#frontends.isStale(flow, among, places)) stale.push(flow);
      });
      if (!isWhole) throw new Error('the list of flows was torn');
    }
    return stale;
  }

  #filters(frontends: ReadonlySet<FrontendKey>, isAll: boolean): readonly FlowFilter[] {
    const all: FlowFilter = { family: this.#options.family, protocol: 'udp' };
    if (isAll || frontends.size > MAX_FILTERED_DUMPS) return [all];
    return [...frontends].map((frontend) => ({ ...all, ...destinationOf(frontend) }));
  }

  #places(): NodePortMatch {
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

  #delete(connection: NetlinkConnection, flows: readonly Flow[]): void {
    const failures = deleteFlows(connection, flows);
    this.#deleted += flows.length - failures.length;
    const [failure] = failures;
    if (failure !== undefined) throw failure.error;
  }
}
