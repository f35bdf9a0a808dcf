/** Reads the table, writes transactions, and keeps the installed elements of each frontend. */
import { setTimeout as pause } from 'node:timers/promises';
import type { ObjectTraffic } from '../../dataplane/contract.ts';
import { type Mutex, newMutex } from '../../dataplane/mutex.ts';
import { ERRNO } from '../../netlink/error.ts';
import { ReopeningSocket } from '../../netlink/reopening-socket.ts';
import { TransactionError } from '../../nftables-json/nftables.ts';
import type { SetDeclaration } from '../../nftables-json/schema.ts';
import { AffinityCleaner } from './affinity-cleaner.ts';
import { counterDeclarations } from './counters.ts';
import { type ChangeWatch, type KernelSockets, kernelError } from './kernel-sockets.ts';
import type { InstalledFrontend } from './members.ts';
import { declarations, type NftFamily, stickyDeclarations } from './names.ts';
import { FRONTEND_PREFIX, type NftObject } from './objects.ts';
import { isRebuilt, type NftChange } from './plan.ts';
import { readTable, type TableContents } from './read.ts';
import { readTraffic } from './read-traffic.ts';
import { commandsOf, type IssuedCommand, type Transaction } from './write.ts';

/** Tries of a removal: kernels before 6.2 release a chain some time after its last use (EBUSY). */
const BUSY_TRIES = 20;
const BUSY_MS = 50;
/** Tries of a read: the list of a table that others keep writing to is used as it is. */
const MAX_READS = 5;
/** Pause before the next try: after a large load the kernel resizes a map step by step, and its list is incomplete meanwhile. */
const RESIZE_PAUSE_MS = 50;
const WATCH_CLOSED = 'what others write to the table is not heard just now, and found at the end of the sync period';

export class Driver {
  readonly #family: NftFamily;
  readonly #sockets: KernelSockets;
  readonly #watch: ReopeningSocket<ChangeWatch>;
  readonly #affinityCleaner: AffinityCleaner;
  readonly #readOnly: boolean;
  /** Mutex of writes, and of reads that no write may interrupt. */
  readonly #writing: Mutex = newMutex();
  /** Mutex of reads: a read that is requested during another one begins after it. */
  readonly #reading: Mutex = newMutex();
  /** Installed frontends, by id. */
  #installed = new Map<string, InstalledFrontend>();
  /** Ids of frontends written since the current read began, whose elements in the list may be older. */
  #touched: Set<string> | undefined;
  /** Writes of other programs that the watch reported, and how many of them were read or passed on. */
  #foreignWrites = 0;
  #reportedWrites = 0;
  /** True when stale affinity entries of a former process are deleted, or when this driver only reads. */
  #isAffinitySwept: boolean;
  /** Frontends as they were before failed writes, which the kernel may have done: departed endpoints are not known yet. */
  #unsettled = new Map<string, InstalledFrontend>();

  constructor(family: NftFamily, sockets: KernelSockets, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.#family = family;
    this.#sockets = sockets;
    this.#readOnly = readOnly;
    this.#isAffinitySwept = readOnly;
    this.#watch = new ReopeningSocket({
      open: () => sockets.openWatch(family),
      warn: (reason) => sockets.warn?.(`${WATCH_CLOSED}: ${reason}`),
    });
    this.#watch.open();
    const installedAt = (key: string): InstalledFrontend | undefined => this.#installed.get(`${FRONTEND_PREFIX}${key}`);
    this.#affinityCleaner = new AffinityCleaner({ family, sockets, mutex: this.#writing, installedAt: installedAt });
  }

  /** Closes the sockets that this family does not share. */
  close(): void {
    this.#affinityCleaner.close();
    this.#watch.close();
  }

  /** Resolves when no client is remembered with an endpoint that left. */
  settled(): Promise<void> {
    return this.#affinityCleaner.settled();
  }

  /** Whether another program wrote to the table since the last read or call. */
  hasChanged(): boolean {
    const writes = this.#countForeignWrites();
    const isNew = writes !== this.#reportedWrites;
    this.#reportedWrites = writes;
    return isNew;
  }

  /** Reads the watch. Called by reads and `hasChanged`: the watch reports each write once, and both must count it. */
  #countForeignWrites(): number {
    const isChanged = this.#watch.ask((watch) => watch.hasChanged());
    if (isChanged === true || this.#watch.takeMissed()) {
      this.#foreignWrites += 1;
      // another program may have written affinity entries too
      this.#isAffinitySwept = this.#readOnly;
    }
    return this.#foreignWrites;
  }

  /** Reads the table over a socket of its own. Throws KernelError. */
  read(): Promise<ReadonlyMap<string, NftObject>> {
    return this.#reading(async () => {
      const touched = new Set<string>();
      this.#touched = touched;
      try {
        const found = await this.#readWhole(touched);
        this.#adopt(found, touched);
        return found.objects;
      } catch (error) {
        throw kernelError(error);
      } finally {
        this.#touched = undefined;
      }
    });
  }

  #adopt(found: TableContents, touched: ReadonlySet<string>): void {
    const installed = new Map(found.installed);
    for (const id of touched) {
      const own = this.#installed.get(id);
      if (own === undefined) installed.delete(id);
      else installed.set(id, own);
    }
    this.#installed = installed;
    for (const [id, before] of this.#unsettled) this.#affinityCleaner.follow(id, before, installed.get(id));
    this.#unsettled = new Map();
    if (this.#readOnly) return;
    this.#affinityCleaner.adopt(found.departed);
    if (!this.#isAffinitySwept) this.#affinityCleaner.sweep();
    this.#isAffinitySwept = true;
    this.#affinityCleaner.start();
  }

  /** Reads the table. A list that changes meanwhile may lack unchanged elements: it is read again, while our writes wait. */
  async #readWhole(touched: ReadonlySet<string>): Promise<TableContents> {
    for (let attempt = 1; ; attempt += 1) {
      const writes = this.#countForeignWrites();
      const size = touched.size;
      const found = await (attempt === 1 ? this.#readOnce() : this.#writing(() => this.#readOnce()));
      const isForeign = this.#countForeignWrites() !== writes;
      const isTorn = isForeign || touched.size > size || !found.isWhole;
      if (!isTorn || attempt === MAX_READS) {
        // frontends that we wrote meanwhile are not taken from the list, so another program's change of them is still unread
        if (!isForeign && touched.size === 0) this.#reportedWrites = writes;
        return found;
      }
      if (!found.isWhole) await pause(RESIZE_PAUSE_MS);
    }
  }

  async #readOnce(): Promise<TableContents> {
    const reader = this.#sockets.openReader();
    try {
      return await readTable(reader, this.#family);
    } finally {
      reader.close();
    }
  }

  /** Reads counters over a socket of its own, beside reads and writes. Throws KernelError. */
  async traffic(): Promise<ObjectTraffic> {
    const reader = this.#sockets.openReader();
    try {
      return await readTraffic(reader, this.#family);
    } catch (error) {
      throw kernelError(error);
    } finally {
      reader.close();
    }
  }

  /** Writes one transaction. Throws KernelError. */
  apply(changes: readonly NftChange[]): Promise<void> {
    return this.#writing(async () => {
      const { commands, installed } = commandsOf(changes, this.#family, (id) => this.#installed.get(id));
      const former = this.#installedOf(installed.keys());
      const guards = [...installed].flatMap(([id, now]) =>
        this.#affinityCleaner.guards(id, former.get(id), now).map((command): IssuedCommand => ({ command, id })),
      );
      try {
        await this.#write(changes, [...commands, ...guards], installed);
      } catch (error) {
        for (const [id, before] of former) if (!this.#unsettled.has(id)) this.#unsettled.set(id, before);
        throw error;
      }
      for (const [id, now] of installed) this.#affinityCleaner.follow(id, former.get(id), now);
      if (!this.#readOnly) this.#affinityCleaner.start();
    });
  }

  #installedOf(ids: Iterable<string>): ReadonlyMap<string, InstalledFrontend> {
    const former = new Map<string, InstalledFrontend>();
    for (const id of ids) {
      const installed = this.#installed.get(id);
      if (installed !== undefined) former.set(id, installed);
    }
    return former;
  }

  async #write(
    changes: readonly NftChange[],
    commands: readonly IssuedCommand[],
    installed: Transaction['installed'],
  ): Promise<void> {
    const isRemoval = changes.every(({ op }) => op === 'remove');
    await this.#run(commands, isRemoval ? BUSY_TRIES : 1);
    const isTableGone = changes.some(
      (change) => isRebuilt(change) || (change.object.kind === 'table' && change.op === 'remove'),
    );
    if (isTableGone) {
      for (const id of this.#installed.keys()) this.#touched?.add(id);
      this.#installed = new Map();
      this.#affinityCleaner.clear();
    }
    for (const [id, now] of installed) {
      this.#touched?.add(id);
      if (now === undefined) this.#installed.delete(id);
      else this.#installed.set(id, now);
    }
  }

  async #run(issued: readonly IssuedCommand[], tries: number): Promise<void> {
    const commands = issued.map(({ command }) => command);
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.#sockets.writer.run(commands, { sets: setsOf(this.#family) });
        return;
      } catch (error) {
        const isBusy = error instanceof TransactionError && error.errno === ERRNO.EBUSY;
        if (!isBusy || attempt === tries) throw kernelError(error, issued);
        await pause(BUSY_MS);
      }
    }
  }
}

/** Declarations by which elements of commands are encoded. */
const setsOf = (family: NftFamily): readonly SetDeclaration[] => [
  ...declarations(family),
  ...stickyDeclarations(family),
  ...counterDeclarations(family),
];
