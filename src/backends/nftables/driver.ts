/** This mode's end of the kernel: reads the table, writes transactions, and follows what each frontend holds. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Traffic } from '../../dataplane/contract.ts';
import { ERRNO, NetlinkError } from '../../netlink/error.ts';
import { type Nftables, TransactionError } from '../../nftables-json/nftables.ts';
import type { Command, Element, Expression } from '../../nftables-json/schema.ts';
import { counterDeclarations } from './counters.ts';
import { type Ends, kernelError, type Watch } from './ends.ts';
import { type Departures, departed, staleKey, strayKey } from './forget.ts';
import type { Held } from './members.ts';
import { AFFINITY, declarations, type NftFamily, readSticky, stickyDeclaration, TABLE } from './names.ts';
import { FRONTEND_PREFIX, type NftObject } from './objects.ts';
import type { NftChange } from './plan.ts';
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
/** Entries of the affinity map that one transaction deletes. */
const MAX_FORGOTTEN = 5_000;

export class Driver {
  readonly #family: NftFamily;
  readonly #ends: Ends;
  readonly #reader: Nftables;
  readonly #watch: Watch;
  /** Frontends in the kernel, by id. */
  #held = new Map<string, Held>();
  /** Frontends written since the read under way began: what it finds of them may be older. */
  #touched: Set<string> | undefined;
  /** Ends when writing may go on: a read that must be of one piece is under way. */
  #paused: Promise<unknown> = Promise.resolve();
  /** Somebody else wrote while the table was read, so what was read may not be all. */
  #isUnsure = false;
  /** What a former life of the program had no time to forget is forgotten. */
  #isSwept: boolean;
  /** Frontends as they were before writes that failed, which may be done all the same: who left is not forgotten yet. */
  #unforgotten = new Map<string, Held>();

  constructor(family: NftFamily, ends: Ends, { readOnly = false }: { readonly readOnly?: boolean } = {}) {
    this.#family = family;
    this.#ends = ends;
    this.#isSwept = readOnly; // to sweep is to delete
    this.#reader = ends.openReader();
    this.#watch = ends.openWatch(family);
  }

  /** Gives back what was opened for this family alone. */
  close(): void {
    this.#reader.close();
    this.#watch.close();
  }

  /** Whether somebody else wrote to the table since it was last read, or since the last call. Throws NetlinkError. */
  hasChanged(): boolean {
    const isChanged = this.#watch.hasChanged() || this.#isUnsure;
    this.#isUnsure = false;
    return isChanged;
  }

  /** Throws KernelError. */
  async read(): Promise<ReadonlyMap<string, NftObject>> {
    const touched = new Set<string>();
    this.#touched = touched;
    try {
      const found = await this.#readWhole(touched);
      const held = new Map(found.held);
      for (const id of touched) {
        const own = this.#held.get(id);
        if (own === undefined) held.delete(id);
        else held.set(id, own);
      }
      this.#held = held;
      await this.#forget(this.#unforgotten);
      this.#unforgotten = new Map();
      if (!this.#isSwept)
        await this.#forgetWhere((entry) => strayKey(entry, (key) => held.get(`${FRONTEND_PREFIX}${key}`)));
      this.#isSwept = true;
      return found.objects;
    } catch (error) {
      throw kernelError(error);
    } finally {
      this.#touched = undefined;
    }
  }

  /** A list that is written to while it is read may lack what nobody touched: then it is read again, and we wait. */
  async #readWhole(touched: ReadonlySet<string>): Promise<Found> {
    for (let attempt = 1; ; attempt += 1) {
      this.hasChanged(); // what was written before is seen
      const size = touched.size;
      const reading = readTable(this.#reader, this.#family);
      if (attempt > 1) this.#paused = reading.catch(() => undefined);
      const found = await reading;
      const isForeign = this.#watch.hasChanged();
      const isTorn = isForeign || touched.size > size || !found.isWhole;
      if (!isTorn || attempt === MAX_READS) {
        this.#isUnsure = isForeign;
        return found;
      }
      if (!found.isWhole) await pause(REST_MS);
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
  async apply(changes: readonly NftChange[]): Promise<void> {
    await this.#paused;
    const { commands, held } = commandsOf(changes, this.#family, (id) => this.#held.get(id));
    const former = this.#heldOf(held.keys());
    try {
      await this.#write(changes, commands, held);
      await this.#forget(former);
    } catch (error) {
      for (const [id, before] of former) if (!this.#unforgotten.has(id)) this.#unforgotten.set(id, before);
      throw error;
    }
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
    const isTableGone = changes.some(({ op, object }) => object.kind === 'table' && op !== 'add');
    if (isTableGone) this.#held = new Map();
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
        this.#ends.writer.run(commands, { sets: setsOf(commands, this.#family) });
        return;
      } catch (error) {
        const isBusy = error instanceof TransactionError && error.errno === ERRNO.EBUSY;
        if (!isBusy || attempt === tries) throw kernelError(error, issued);
        await pause(BUSY_MS);
      }
    }
  }

  /** Deletes what the affinity map says of endpoints that are gone, of frontends that were like this. */
  async #forget(former: ReadonlyMap<string, Held>): Promise<void> {
    const departures = new Map<string, ReadonlySet<string>>();
    for (const [id, before] of former) {
      const gone = departed(before, this.#held.get(id));
      if (gone.size > 0) departures.set(id.slice(FRONTEND_PREFIX.length), gone);
    }
    if (departures.size > 0) await this.#forgetThose(departures);
  }

  #forgetThose(departures: Departures): Promise<void> {
    const isFrontend = (key: string): boolean => this.#held.has(`${FRONTEND_PREFIX}${key}`);
    return this.#forgetWhere((entry) => staleKey(entry, departures, isFrontend));
  }

  /** Of which entries this gives the key, those are deleted. */
  async #forgetWhere(keyOf: (entry: Element) => Expression | undefined): Promise<void> {
    const map = declarations(this.#family).find(({ name }) => name === AFFINITY);
    if (map === undefined) return;
    const stale: Expression[] = [];
    const reader = this.#ends.openReader();
    try {
      await reader.visit(map, (entry) => {
        const key = keyOf(entry);
        if (key !== undefined) stale.push(key);
      });
      for (let from = 0; from < stale.length; from += MAX_FORGOTTEN) {
        const keys = stale.slice(from, from + MAX_FORGOTTEN);
        this.#delete(keys.map((key) => ({ delete: { element: { ...AFFINITY_OF[this.#family], elem: [key] } } })));
      }
    } catch (error) {
      // with the table everybody is forgotten
      if (!isMissing(error)) throw kernelError(error);
    } finally {
      reader.close();
    }
  }

  /** What is gone by itself meanwhile (its time was over) is left out, and the rest tried again. */
  #delete(commands: readonly Command[]): void {
    let left = commands;
    while (left.length > 0) {
      try {
        this.#ends.writer.run(left, { sets: declarations(this.#family) });
        return;
      } catch (error) {
        if (!(error instanceof TransactionError) || error.errno !== ERRNO.ENOENT || error.commands.length === 0)
          throw error;
        const gone = new Set(error.commands);
        left = left.filter((_, position) => !gone.has(position));
      }
    }
  }
}

const AFFINITY_OF = {
  ip: { family: 'ip', table: TABLE, name: AFFINITY },
  ip6: { family: 'ip6', table: TABLE, name: AFFINITY },
} as const;

const isMissing = (error: unknown): boolean => error instanceof NetlinkError && error.errno === ERRNO.ENOENT;

/** How the elements of these commands are written. */
const setsOf = (commands: readonly Command[], family: NftFamily) => {
  const sticky = new Set<string>();
  for (const command of commands) {
    const body = 'add' in command ? command.add : 'delete' in command ? command.delete : command.flush;
    if ('element' in body && readSticky(body.element.name) !== undefined) sticky.add(body.element.name);
  }
  return [
    ...declarations(family),
    ...counterDeclarations(family),
    ...[...sticky].flatMap((name) => stickyByName(name, family)),
  ];
};

const stickyByName = (name: string, family: NftFamily) => {
  const sticky = readSticky(name);
  return sticky === undefined ? [] : [stickyDeclaration(sticky.space, family, sticky.seconds)];
};
