/** This mode's end of the kernel: reads the table, writes transactions, and follows what each frontend holds. */
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

/** Kernels before 6.2 let go of a chain some time after its last use. */
const BUSY_TRIES = 20;
const BUSY_MS = 50;
/** A table that others keep writing to is taken as it comes. */
const MAX_READS = 5;
/** After a large load the kernel puts a map into a larger table, step by step, and a list of it is not whole meanwhile. */
const REST_MS = 50;
const DEAF = 'what others write to the table is not heard just now, and found at the end of the sync period';

export class Driver {
  readonly #family: NftFamily;
  readonly #ends: Ends;
  readonly #watch: Reopening<Watch>;
  readonly #forgetting: Forgetting;
  readonly #readOnly: boolean;
  /** Writes take turns, and a read that must be of one piece with them. */
  readonly #writing: Lane = newLane();
  /** Reads take turns: who asks while one runs gets what the kernel has afterwards. */
  readonly #reading: Lane = newLane();
  /** Frontends in the kernel, by id. */
  #held = new Map<string, Held>();
  /** Frontends written since the read under way began: what it finds of them may be older. */
  #touched: Set<string> | undefined;
  /** How often somebody else wrote, as far as it was heard of; and how much of that was read or told. */
  #heard = 0;
  #known = 0;
  /** What a former life of the program had no time to forget is forgotten, or nothing may be deleted here. */
  #isSwept: boolean;
  /** Frontends as they were before writes that failed, which may be done all the same: who left is not forgotten yet. */
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

  /** Gives back what was opened for this family alone. */
  close(): void {
    this.#forgetting.close();
    this.#watch.close();
  }

  /** Ends when all clients of endpoints that left are forgotten. */
  settled(): Promise<void> {
    return this.#forgetting.settled();
  }

  /** Whether somebody else wrote to the table since it was last read, or since the last call. */
  hasChanged(): boolean {
    const heard = this.#listen();
    const isNew = heard !== this.#known;
    this.#known = heard;
    return isNew;
  }

  /** The only place where the watch is asked: what it says once, both reads and `hasChanged` must learn. */
  #listen(): number {
    const isChanged = this.#watch.ask((watch) => watch.hasChanged());
    if (isChanged === true || this.#watch.takeMissed()) {
      this.#heard += 1;
      // also who is remembered may be somebody else's work
      this.#isSwept = this.#readOnly;
    }
    return this.#heard;
  }

  /** Over a socket of its own; of two at once the second reads when the first has ended. Throws KernelError. */
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

  /** A list that is written to while it is read may lack what nobody touched: then it is read again, and writes wait. */
  async #readWhole(touched: ReadonlySet<string>): Promise<Found> {
    for (let attempt = 1; ; attempt += 1) {
      const heard = this.#listen();
      const size = touched.size;
      const found = await (attempt === 1 ? this.#readOnce() : this.#writing(() => this.#readOnce()));
      const isForeign = this.#listen() !== heard;
      const isTorn = isForeign || touched.size > size || !found.isWhole;
      if (!isTorn || attempt === MAX_READS) {
        // of what we wrote meanwhile the reader does not believe the list: then somebody else's change is still to be told
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

  /** What the kernel has counted, over a socket of its own: beside reads and writes. Throws KernelError. */
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

  /** One transaction. Throws KernelError. */
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

/** How the elements of these commands are written. */
const setsOf = (family: NftFamily): readonly SetDeclaration[] => [
  ...declarations(family),
  ...stickyDeclarations(family),
  ...counterDeclarations(family),
];
