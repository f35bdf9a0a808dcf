/**
 * Who else writes to our chains, where the iptables tools are those of nf_tables: there the kernel tells. What the tools do
 * for us is not heard, nor what others do in that moment: that is found by the look at the end of the sync period.
 */
import type { IPFamily } from '../../model/address.ts';
import { type ChainChange, ChainWatch } from '../../nftables-json/chain-watch.ts';
import { isOurs, TABLES, type Table } from './names.ts';

export type Ear = Pick<ChainWatch, 'changes' | 'close'>;

const POLL_MS = 100;
/** A look lists all rules. */
const OWN_CHAIN_MS = 1_000;
/** Others take rules out of built-in chains all day, and the kernel does not say whether one of ours was among them. */
const BUILT_IN_MS = 10_000;
/** A socket that broke is opened anew after so long, then twice as long, up to the longest. */
const REOPEN_MS = 1_000;
const LONGEST_REOPEN_MS = 60_000;
const BUILT_IN: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

/** How long since the last look a change is worth the next one, in milliseconds; undefined: it is none of our business. */
export const patienceFor = ({ table, chain, isRemoval }: ChainChange): number | undefined => {
  if (!TABLES.includes(table as Table)) return undefined;
  if (chain === undefined || isOurs(table as Table, chain)) return OWN_CHAIN_MS;
  return isRemoval && BUILT_IN.has(chain) ? BUILT_IN_MS : undefined;
};

interface Listener {
  readonly onChange: () => void;
  lastAt: number;
  /** When what was heard is worth a look; undefined: nothing was. */
  dueAt: number | undefined;
}

export class RuleWatch {
  readonly #open: () => Ear;
  readonly #now: () => number;
  readonly #listeners = new Map<IPFamily, Listener>();
  #ear: Ear | undefined;
  #timer: NodeJS.Timeout | undefined;
  #deaf = 0;
  readonly #warn: (message: string) => void;
  /** How often in a row the socket broke or could not be opened, and when the next try is due. */
  #breaks = 0;
  #reopenAt = 0;

  constructor(
    open: () => Ear = () => ChainWatch.open(),
    now: () => number = () => performance.now(),
    warn: (message: string) => void = () => undefined,
  ) {
    this.#open = open;
    this.#now = now;
    this.#warn = warn;
  }

  /** Runs a write of our own, of which nothing is to be heard. */
  async whileDeaf<T>(write: () => Promise<T>): Promise<T> {
    if (this.#deaf === 0) this.look();
    this.#deaf += 1;
    this.#close();
    try {
      return await write();
    } finally {
      this.#deaf -= 1;
      this.#listen();
    }
  }

  listen(family: IPFamily, onChange: () => void): { stop(): void } {
    this.#listeners.set(family, { onChange, lastAt: Number.NEGATIVE_INFINITY, dueAt: undefined });
    this.#timer ??= setInterval(() => this.look(), POLL_MS);
    this.#listen();
    return { stop: () => this.#stop(family) };
  }

  /** Takes what was told so far, and tells whom it concerns. */
  look(): void {
    if (this.#ear === undefined) this.#listen();
    try {
      for (const change of this.#ear?.changes() ?? []) this.#note(change);
      if (this.#ear !== undefined) this.#breaks = 0;
    } catch (error) {
      this.#broke(error);
    }
    const now = this.#now();
    for (const listener of this.#listeners.values()) {
      if (listener.dueAt === undefined || now < listener.dueAt) continue;
      listener.dueAt = undefined;
      listener.lastAt = now;
      listener.onChange();
    }
  }

  #note(change: ChainChange | undefined): void {
    const patience = change === undefined ? OWN_CHAIN_MS : patienceFor(change);
    if (patience === undefined) return;
    for (const [family, listener] of this.#listeners) {
      if (change !== undefined && change.family !== (family === 'IPv4' ? 'ip' : 'ip6')) continue;
      const dueAt = Math.max(this.#now(), listener.lastAt + patience);
      listener.dueAt = Math.min(listener.dueAt ?? dueAt, dueAt);
    }
  }

  #listen(): void {
    if (this.#deaf > 0 || this.#listeners.size === 0 || this.#ear !== undefined) return;
    if (this.#breaks > 0 && this.#now() < this.#reopenAt) return;
    try {
      this.#ear = this.#open();
      // what was written meanwhile was told to nobody
      if (this.#breaks > 0) this.#note(undefined);
    } catch (error) {
      this.#broke(error);
    }
  }

  /** Until it is open again there is the look at the end of each sync period. */
  #broke(error: unknown): void {
    this.#close();
    this.#reopenAt = this.#now() + Math.min(LONGEST_REOPEN_MS, REOPEN_MS * 2 ** this.#breaks);
    this.#breaks += 1;
    if (this.#breaks > 1) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#warn(
      `what others write to our rules is not heard just now, and found at the end of the sync period: ${reason}`,
    );
  }

  #close(): void {
    this.#ear?.close();
    this.#ear = undefined;
  }

  #stop(family: IPFamily): void {
    this.#listeners.delete(family);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#close();
  }
}
