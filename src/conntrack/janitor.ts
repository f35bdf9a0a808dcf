/**
 * Deletes UDP flows that lead nowhere useful, after the rules are in place and off their way: a part of the list at a time,
 * few deletions at a time. What fails is tried again with the next change.
 */
import { setImmediate as rest } from 'node:timers/promises';
import type { BaseLogger } from 'pino';
import type { IPFamily } from '../model/address.ts';
import { type Entrance, Entrances, entranceFields } from '../model/flows.ts';
import type { ServiceEndpoints } from '../model/topology.ts';
import { Connection } from '../netlink/connection.ts';
import { deleteFlows, type Flow, type FlowFilter, visitFlows } from '../netlink/conntrack.ts';
import { openSocket, PROTOCOL } from '../netlink/socket.ts';

export interface JanitorOptions {
  readonly family: IPFamily;
  /** One that nobody else uses. */
  readonly connection: Connection;
  /** The node's own addresses, without those of Services. */
  readonly localAddresses: () => readonly string[];
  readonly log: Pick<BaseLogger, 'info' | 'warn'>;
  /** Looked for stale flows for so long, and deleted so many. */
  readonly onCleaned?: (seconds: number, deleted: number) => void;
}

/** The kernel walks all flows for each question: beyond so many entrances it is asked once, for all. */
const MAX_QUESTIONS = 4;
const DELETIONS = 500;

/** A connection for one janitor. Throws NetlinkError. */
export const openFlows = (): Connection => new Connection(openSocket(PROTOCOL.NETFILTER));

export class Janitor {
  readonly #options: JanitorOptions;
  readonly #entrances = new Entrances();
  #due = new Set<Entrance>();
  #running: Promise<void> | undefined;
  #deleted = 0;
  #stopped = false;

  constructor(options: JanitorOptions) {
    this.#options = options;
  }

  /** How many flows were deleted since the start. */
  get deleted(): number {
    return this.#deleted;
  }

  /** What a sync brought into the kernel. */
  synced(services: readonly ServiceEndpoints[], gone: readonly string[]): void {
    for (const entrance of this.#entrances.update(services, gone)) this.#due.add(entrance);
    this.#start();
  }

  /** Ends after the deletions under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    this.#options.connection.close();
  }

  #start(): void {
    if (this.#stopped || this.#due.size === 0 || this.#running !== undefined) return;
    this.#running = this.#clean().finally(() => {
      this.#running = undefined;
      this.#start();
    });
  }

  async #clean(): Promise<void> {
    const entrances = this.#due;
    this.#due = new Set();
    const { family, log, onCleaned } = this.#options;
    const startedAt = performance.now();
    const before = this.#deleted;
    try {
      const stale = await this.#findStale(entrances);
      for (let from = 0; from < stale.length; from += DELETIONS) {
        await rest();
        this.#delete(stale.slice(from, from + DELETIONS));
      }
      if (stale.length > 0)
        log.info({ ipFamily: family, flows: stale.length, sinceStart: this.#deleted }, 'stale UDP flows deleted');
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log.warn({ ipFamily: family, error: message }, 'stale UDP flows cannot be deleted, clients may have to pause');
    }
    onCleaned?.((performance.now() - startedAt) / 1_000, this.#deleted - before);
  }

  async #findStale(entrances: ReadonlySet<Entrance>): Promise<readonly Flow[]> {
    const { family, connection, localAddresses } = this.#options;
    const own = new Set(localAddresses());
    const stale: Flow[] = [];
    const all: FlowFilter = { family, protocol: 'udp' };
    const questions: readonly FlowFilter[] =
      entrances.size > MAX_QUESTIONS
        ? [all]
        : [...entrances].map((entrance) => ({ ...all, ...entranceFields(entrance) }));
    for (const question of questions) {
      await visitFlows(connection, question, (flow) => {
        if (this.#entrances.isStale(flow, entrances, (ip) => own.has(ip))) stale.push(flow);
      });
    }
    return stale;
  }

  #delete(flows: readonly Flow[]): void {
    const failures = deleteFlows(this.#options.connection, flows);
    this.#deleted += flows.length - failures.length;
    const [failure] = failures;
    if (failure !== undefined) throw failure.error;
  }
}
