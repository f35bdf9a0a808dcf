/**
 * Deletes stale entries of the affinity map in the background. One walk of the map, in pieces, finds the clients of all
 * endpoints that left before it. Deletions are bounded transactions between other writes.
 *
 * Correctness does not wait for it: no packet is translated to an endpoint that left (see affinity.ts). There is one
 * exception: a client from outside that was remembered with an endpoint of another node goes there until its entry is
 * deleted, after its Service's external policy became Local.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Mutex } from '../../dataplane/mutex.ts';
import { ERRNO } from '../../netlink/error.ts';
import { TransactionError } from '../../nftables-json/nftables.ts';
import type { Command, Element, Expression } from '../../nftables-json/schema.ts';
import { type DepartedEndpoint, DepartedEndpoints, type DepartureSnapshot } from './departed-endpoints.ts';
import { isMissing, type KernelSockets } from './kernel-sockets.ts';
import { type InstalledFrontend, NOT_INSTALLED } from './members.ts';
import { AFFINITY, declarations, type NftFamily, STICKY, stickyDeclarations, TABLE } from './names.ts';
import { type EndpointAddress, FRONTEND_PREFIX, targetData } from './objects.ts';
import { departedTargets, isSticky, staleKey, strayKey, targetsOf } from './stale-affinity.ts';

/** Entries that one transaction deletes: other writes wait for some milliseconds. */
const MAX_DELETED = 1_000;
/** Pause after a walk, as a multiple of its time: endpoints that come and go all the time do not cost a whole core. */
const REST_FACTOR = 4;
/** Walks shorter than this, in milliseconds, have no pause behind them. */
const SHORT_MS = 20;
const RETRY_MS = 1_000;
/** Walks of a map until one finds nothing stale: a list of a map that changes meanwhile shows some entries twice, others not. */
const MAX_WALKS = 5;

export interface AffinityCleanerOptions {
  readonly family: NftFamily;
  readonly sockets: KernelSockets;
  /** Mutex of all writes. */
  readonly mutex: Mutex;
  /** Installed frontend by key. */
  readonly installedAt: (key: string) => InstalledFrontend | undefined;
}

export class AffinityCleaner {
  readonly #options: AffinityCleanerOptions;
  readonly #departed = new DepartedEndpoints();
  /** The next walk also deletes entries of a former process, whose endpoint is in no frontend. */
  #sweeps = false;
  #running: Promise<void> | undefined;
  /** Earliest start of the next walk, by performance.now(). */
  #restsUntil = 0;
  #isClosed = false;

  constructor(options: AffinityCleanerOptions) {
    this.#options = options;
  }

  close(): void {
    this.#isClosed = true;
  }

  /** Commands for the transaction that changes a frontend: from then on no client is led to an endpoint that leaves. */
  guards(id: string, before: InstalledFrontend | undefined, now: InstalledFrontend | undefined): readonly Command[] {
    if (now === undefined || !isSticky(now)) return [];
    const key = keyOf(id);
    const stays = new Set(targetsOf(now));
    const isAnew = before === undefined || !isSticky(before);
    const gone = isAnew ? this.#departed.of(key) : [...departedTargets(before, now)];
    const elem = gone.filter((target) => !stays.has(target)).map((target) => elementOf({ frontend: key, target }));
    return elem.length === 0 ? [] : [{ add: { element: { ...this.#departedSet(key), elem } } }];
  }

  /** Records which endpoints left a frontend, and which came back. */
  follow(id: string, before: InstalledFrontend = NOT_INSTALLED, now: InstalledFrontend = NOT_INSTALLED): void {
    const key = keyOf(id);
    if (isSticky(now)) {
      const was = new Set(isSticky(before) ? targetsOf(before) : []);
      this.#departed.comeBack(
        key,
        targetsOf(now).filter((target) => !was.has(target)),
      );
    }
    this.#departed.leave(key, departedTargets(before, now));
  }

  /** Takes over departed endpoints from the kernel: of a former process, or of a write whose answer was lost. */
  adopt(found: readonly DepartedEndpoint[]): void {
    for (const { frontend, target } of found) {
      if (this.#departed.of(frontend).includes(target)) continue;
      this.#departed.leave(frontend, [target]);
      const installed = this.#options.installedAt(frontend);
      if (installed !== undefined && targetsOf(installed).includes(target)) this.#departed.comeBack(frontend, [target]);
    }
  }

  sweep(): void {
    this.#sweeps = true;
  }

  /** Forgets all departed endpoints: the affinity map went with the table. */
  clear(): void {
    this.#departed.clear();
  }

  /** Starts cleaning, unless it runs already. */
  start(): void {
    if (this.#running !== undefined || this.#isClosed || !this.#isWanted) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.start();
    });
  }

  /** Resolves when no stale entry is left. */
  async settled(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  get #isWanted(): boolean {
    return this.#sweeps || !this.#departed.isEmpty;
  }

  async #run(): Promise<void> {
    while (this.#isWanted && !this.#isClosed) {
      const restMs = this.#restsUntil - performance.now();
      if (restMs > 0) await pause(restMs, undefined, { ref: false });
      const startedAt = performance.now();
      const isDone = await this.#forget().then(
        () => true,
        () => false,
      );
      const tookMs = performance.now() - startedAt;
      this.#restsUntil = performance.now() + (isDone ? (tookMs > SHORT_MS ? REST_FACTOR * tookMs : 0) : RETRY_MS);
    }
  }

  /** Deletes all stale entries. After an error the whole work is repeated. */
  async #forget(): Promise<void> {
    const snapshot = this.#departed.snapshot();
    const isSweep = this.#sweeps;
    for (let walk = 1; walk <= MAX_WALKS; walk += 1) {
      const stale = await this.#staleEntries(isSweep);
      await this.#deleteAll(stale, isSweep);
      if (stale.length === 0 || this.#isClosed) break;
    }
    if (isSweep) this.#sweeps = false;
    await this.#settle(snapshot);
  }

  /** Bare key of an entry that is stale now. Undefined: it is not stale. */
  #keyOfStale(entry: Element, isSweep: boolean): Expression | undefined {
    const { installedAt } = this.#options;
    const isFrontend = (key: string): boolean => installedAt(key) !== undefined;
    return staleKey(entry, this.#departed, isFrontend) ?? (isSweep ? strayKey(entry, installedAt) : undefined);
  }

  async #staleEntries(isSweep: boolean): Promise<readonly Element[]> {
    const { sockets } = this.#options;
    const stale: Element[] = [];
    const take = (entry: Element): void => {
      if (this.#keyOfStale(entry, isSweep) !== undefined) stale.push(entry);
    };
    const reader = sockets.openReader();
    try {
      await reader.visit(this.#map, take);
    } catch (error) {
      if (!isMissing(error)) throw error;
    } finally {
      reader.close();
    }
    return stale;
  }

  async #settle(snapshot: DepartureSnapshot): Promise<void> {
    await this.#options.mutex(async () => {
      const settled = this.#departed.settle(snapshot);
      this.#delete(settled.map((one) => ({ ...this.#departedSet(one.frontend), elem: [elementOf(one)] })));
    });
  }

  /** Deletes entries that are still stale: clients of an endpoint that came back since the walk stay. */
  async #deleteAll(entries: readonly Element[], isSweep: boolean): Promise<void> {
    for (let from = 0; from < entries.length && !this.#isClosed; from += MAX_DELETED) {
      await this.#options.mutex(async () => {
        const keys = entries.slice(from, from + MAX_DELETED).flatMap((entry) => this.#keyOfStale(entry, isSweep) ?? []);
        this.#delete(keys.map((key) => ({ ...this.#affinity, elem: [key] })));
      });
    }
  }

  /** Deletes elements. Those that timed out meanwhile are left out, and the others tried again. */
  #delete(elements: readonly Deletion[]): void {
    const { sockets, family } = this.#options;
    const sets = [...declarations(family), ...stickyDeclarations(family)];
    let left: readonly Command[] = elements.map((element) => ({ delete: { element } }));
    while (left.length > 0) {
      try {
        sockets.writer.run(left, { sets });
        return;
      } catch (error) {
        if (!(error instanceof TransactionError) || error.errno !== ERRNO.ENOENT || error.commands.length === 0)
          throw error;
        const gone = new Set(error.commands);
        left = left.filter((_, position) => !gone.has(position));
      }
    }
  }

  get #map() {
    const map = declarations(this.#options.family).find(({ name }) => name === AFFINITY);
    if (map === undefined) throw new TypeError(`no map ${AFFINITY} is declared`);
    return map;
  }

  get #affinity() {
    return { family: this.#options.family, table: TABLE, name: AFFINITY };
  }

  #departedSet(key: string) {
    const { departed } = STICKY[spaceOf(key)];
    return { family: this.#options.family, table: TABLE, name: departed };
  }
}

interface Deletion {
  readonly family: NftFamily;
  readonly table: string;
  readonly name: string;
  readonly elem: readonly Expression[];
}

const keyOf = (id: string): string => id.slice(FRONTEND_PREFIX.length);

/** Key space of a frontend's key: a NodePort's has no address. */
const spaceOf = (key: string): 'service' | 'nodePort' => (key.split(' . ').length === 3 ? 'service' : 'nodePort');

const elementOf = ({
  frontend,
  target,
}: {
  readonly frontend: string;
  readonly target: EndpointAddress;
}): Expression => {
  const fields = frontend.split(' . ');
  const port = Number(fields.at(-1));
  return { concat: [...fields.slice(0, -1), port, ...targetData(target).concat] };
};
