/**
 * Who else writes to our chains, where the iptables tools are those of nf_tables: there the kernel tells. What the tools do
 * for us is not heard, nor what others do in that moment: that is found by the look at the end of the sync period.
 */
import type { IPFamily } from '../../model/address.ts';
import { Reopening } from '../../netlink/reopening.ts';
import { type ChainChange, ChainWatch } from '../../nftables-json/chain-watch.ts';
import { FIREWALL, isOurs, TABLES, type Table } from './names.ts';

export type Ear = Pick<ChainWatch, 'changes' | 'close'>;

const POLL_MS = 100;
/** A look lists all rules. */
const OWN_CHAIN_MS = 1_000;
/** Others take rules out of built-in chains all day; where the kernel does not say whether one of ours is among them. */
const BUILT_IN_MS = 10_000;
const BUILT_IN: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

/** How long since the last look a change is worth the next one, in milliseconds; undefined: it is none of our business. */
export const patienceFor = ({ table, chain, isRemoval, leadsTo }: ChainChange): number | undefined => {
  if (!TABLES.includes(table as Table)) return undefined;
  if (chain === undefined || isOurs(table as Table, chain)) return OWN_CHAIN_MS;
  if (!isRemoval || !BUILT_IN.has(chain)) return undefined;
  if (leadsTo === undefined) return BUILT_IN_MS;
  // all that we have in there are jumps
  return leadsTo.some((target) => target === FIREWALL || isOurs(table as Table, target)) ? OWN_CHAIN_MS : undefined;
};

interface Listener {
  readonly onChange: () => void;
  lastAt: number;
  /** When what was heard is worth a look; undefined: nothing was. */
  dueAt: number | undefined;
}

export class RuleWatch {
  readonly #now: () => number;
  readonly #listeners = new Map<IPFamily, Listener>();
  readonly #ear: Reopening<Ear>;
  #timer: NodeJS.Timeout | undefined;
  #deaf = 0;

  constructor(
    open: () => Ear = () => ChainWatch.open(),
    now: () => number = () => performance.now(),
    warn: (message: string) => void = () => undefined,
  ) {
    this.#now = now;
    // until it is open again there is the look at the end of each sync period
    const said = 'what others write to our rules is not heard just now, and found at the end of the sync period';
    this.#ear = new Reopening({ open, now, warn: (reason) => warn(`${said}: ${reason}`) });
  }

  /** Runs a write of our own, of which nothing is to be heard. */
  async whileDeaf<T>(write: () => Promise<T>): Promise<T> {
    if (this.#deaf === 0) this.look();
    this.#deaf += 1;
    this.#ear.close();
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
    this.#listen();
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
    if (this.#deaf > 0 || this.#listeners.size === 0) return;
    const changes = this.#ear.ask((ear) => [...ear.changes()]) ?? [];
    // what was written while it was broken was told to nobody
    for (const change of this.#ear.takeMissed() ? [undefined] : changes) this.#note(change);
  }

  #stop(family: IPFamily): void {
    this.#listeners.delete(family);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#ear.close();
  }
}
