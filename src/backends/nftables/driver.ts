/** Reads the table, writes transactions, and keeps the installed elements of each frontend. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Traffic } from '../../dataplane/contract.ts';
import { type Lane, newLane } from '../../dataplane/lane.ts';
import { ERRNO } from '../../netlink/error.ts';
import { Reopening } from '../../netlink/reopening.ts';
import { TransactionError } from '../../nftables-json/nftables.ts';
import type { SetDeclaration } from '../../nftables-json/schema.ts';
import { counterDeclarations } from './counters.ts';
import { type Ends, kernelError, type Watch } from './ends.ts';
import { Forgetting } from './forgetting.ts';
import type { Held } from './members.ts';
import { declarations, type NftFamily, stickyDeclarations } from './names.ts';
import { FRONTEND_PREFIX, type NftObject } from './objects.ts';
import { isRebuilt, type NftChange } from './plan.ts';
import { type Found, readTable } from './read.ts';
import { readTraffic } from './read-traffic.ts';
import { commandsOf, type Issued, type Written } from './write.ts';

/** Tries of a removal: kernels before 6.2 release a chain some time after its last use (EBUSY). */
const BUSY_TRIES = 20;
const BUSY_MS = 50;
/** Tries of a read: the list of a table that others keep writing to is used as it is. */
const MAX_READS = 5;
/** Pause before the next try: after a large load the kernel resizes a map step by step, and its list is incomplete meanwhile. */
const REST_MS = 50;
const DEAF = 'what others write to the table is not heard just now, and found at the end of the sync period';

export class Driver {
  readonly #family: NftFamily;
  readonly #ends: Ends;
  readonly #watch: Reopening<Watch>;
  readonly #forgetting: Forgetting;
  readonly #readOnly: boolean;
  /** Lane of writes, and of reads that no write may interrupt. */
  readonly #writing: Lane = newLane();
  /** Lane of reads: a read that is requested during another one begins after it. */
  readonly #reading: Lane = newLane();
  /** Installed frontends, by id. */
  #held = new Map<string, Held>();
  /** Ids of frontends written since the current read began, whose elements in the list may be older. */
  #touched: Set<string> | undefined;
  /** Writes of other programs that the watch reported, and how many of them were read or passed on. */
  #heard = 0;
  #known = 0;
  /** True when stale affinity entries of a former process are deleted, or when this driver only reads. */
  #isSwept: boolean;
  /** Frontends as they were before failed writes, which the kernel may have done: departed endpoints are not known yet. */
  #unsettled = new Map<string, Held>();

  constructor(family: NftFamily, ends: Ends, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.#family = family;
    this.#ends = ends;
    this.#readOnly = readOnly;
    this.#isSwept = readOnly;
    this.#watch = new Reopening({
      open: () => ends.openWatch(family),
      warn: (reason) => ends.warn?.(`${DEAF}: ${reason}`),
    });
    this.#watch.open();
    const heldAt = (key: string): Held | undefined => this.#held.get(`${FRONTEND_PREFIX}${key}`);
    this.#forgetting = new Forgetting({ family, ends, lane: this.#writing, heldAt });
  }

  /** Closes the sockets that this family does not share. */
  close(): void {
    this.#forgetting.close();
    this.#watch.close();
  }

  /** Resolves when no client is remembered with an endpoint that left. */
  settled(): Promise<void> {
    return this.#forgetting.settled();
  }

  /** Whether another program wrote to the table since the last read or call. */
  hasChanged(): boolean {
    const heard = this.#listen();
    const isNew = heard !== this.#known;
    this.#known = heard;
    return isNew;
  }

  /** Reads the watch. Called by reads and `hasChanged`: the watch reports each write once, and both must count it. */
  #listen(): number {
    const isChanged = this.#watch.ask((watch) => watch.hasChanged());
    if (isChanged === true || this.#watch.takeMissed()) {
      this.#heard += 1;
      // another program may have written affinity entries too
      this.#isSwept = this.#readOnly;
    }
    return this.#heard;
  }

  /** Reads the table over a socket of its own. Throws KernelError. */
  read(): Promise<ReadonlyMap<string, NftObject>> {
    return this.#reading(async () => {
      const touched = new Set<string>();
      this.#touched = touched;
      try {
        const found = await this.#readWhole(touched);
        this.#learn(found, touched);
        return found.objects;
      } catch (error) {
        throw kernelError(error);
      } finally {
        this.#touched = undefined;
      }
    });
  }

  #learn(found: Found, touched: ReadonlySet<string>): void {
    const held = new Map(found.held);
    for (const id of touched) {
      const own = this.#held.get(id);
      if (own === undefined) held.delete(id);
      else held.set(id, own);
    }
    this.#held = held;
    for (const [id, before] of this.#unsettled) this.#forgetting.follow(id, before, held.get(id));
    this.#unsettled = new Map();
    if (this.#readOnly) return;
    this.#forgetting.adopt(found.departed);
    if (!this.#isSwept) this.#forgetting.sweep();
    this.#isSwept = true;
    this.#forgetting.start();
  }

  /** Reads the table. A list that changes meanwhile may lack unchanged elements: it is read again, while our writes wait. */
  async #readWhole(touched: ReadonlySet<string>): Promise<Found> {
    for (let attempt = 1; ; attempt += 1) {
      const heard = this.#listen();
      const size = touched.size;
      const found = await (attempt === 1 ? this.#readOnce() : this.#writing(() => this.#readOnce()));
      const isForeign = this.#listen() !== heard;
      const isTorn = isForeign || touched.size > size || !found.isWhole;
      if (!isTorn || attempt === MAX_READS) {
        // frontends that we wrote meanwhile are not taken from the list, so another program's change of them is still unread
        if (!isForeign && touched.size === 0) this.#known = heard;
        return found;
      }
      if (!found.isWhole) await pause(REST_MS);
    }
  }

  async #readOnce(): Promise<Found> {
    const reader = this.#ends.openReader();
    try {
      return await readTable(reader, this.#family);
    } finally {
      reader.close();
    }
  }

  /** Reads counters over a socket of its own, beside reads and writes. Throws KernelError. */
  async traffic(): Promise<Traffic> {
    const reader = this.#ends.openReader();
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
      const { commands, held } = commandsOf(changes, this.#family, (id) => this.#held.get(id));
      const former = this.#heldOf(held.keys());
      const guards = [...held].flatMap(([id, now]) =>
        this.#forgetting.guards(id, former.get(id), now).map((command): Issued => ({ command, id })),
      );
      try {
        await this.#write(changes, [...commands, ...guards], held);
      } catch (error) {
        for (const [id, before] of former) if (!this.#unsettled.has(id)) this.#unsettled.set(id, before);
        throw error;
      }
      for (const [id, now] of held) this.#forgetting.follow(id, former.get(id), now);
      if (!this.#readOnly) this.#forgetting.start();
    });
  }

  #heldOf(ids: Iterable<string>): ReadonlyMap<string, Held> {
    const former = new Map<string, Held>();
    for (const id of ids) {
      const held = this.#held.get(id);
      if (held !== undefined) former.set(id, held);
    }
    return former;
  }

  async #write(changes: readonly NftChange[], commands: readonly Issued[], held: Written['held']): Promise<void> {
    const isRemoval = changes.every(({ op }) => op === 'remove');
    await this.#run(commands, isRemoval ? BUSY_TRIES : 1);
    const isTableGone = changes.some(
      (change) => isRebuilt(change) || (change.object.kind === 'table' && change.op === 'remove'),
    );
    if (isTableGone) {
      for (const id of this.#held.keys()) this.#touched?.add(id);
      this.#held = new Map();
      this.#forgetting.clear();
    }
    for (const [id, now] of held) {
      this.#touched?.add(id);
      if (now === undefined) this.#held.delete(id);
      else this.#held.set(id, now);
    }
  }

  async #run(issued: readonly Issued[], tries: number): Promise<void> {
    const commands = issued.map(({ command }) => command);
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.#ends.writer.run(commands, { sets: setsOf(this.#family) });
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
