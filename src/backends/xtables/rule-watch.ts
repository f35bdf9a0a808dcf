/**
 * Reports writes of other programs to our chains, where the iptables tools are those of nf_tables: the kernel notifies of
 * them. While our own tool writes nothing is listened to. What others write in that time is found by the audit at the end
 * of the sync period.
 */
import type { IPFamily } from '../../model/address.ts';
import { ReopeningSocket } from '../../netlink/reopening-socket.ts';
import { type ChainChange, ChainWatch } from '../../nftables-json/chain-watch.ts';
import { FIREWALL, isOurs, TABLES, type TableName } from './names.ts';

export type ChangeFeed = Pick<ChainWatch, 'changes' | 'close'>;

const POLL_MS = 100;
/** Least time between two audits after changes to chains of ours: an audit lists all rules. */
const OWN_CHAIN_MS = 1_000;
/**
 * Least time between two audits after removals from built-in chains, where the kernel does not say whether a rule of ours
 * is among them: CNIs remove rules there all the time.
 */
const BUILT_IN_MS = 10_000;
const BUILT_IN: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

/** Least time in milliseconds from the last audit to the one that a change calls for. Undefined: the change is not ours. */
export const reportIntervalFor = ({ table, chain, isRemoval, leadsTo }: ChainChange): number | undefined => {
  if (!TABLES.includes(table as TableName)) return undefined;
  if (chain === undefined || isOurs(table as TableName, chain)) return OWN_CHAIN_MS;
  if (!isRemoval || !BUILT_IN.has(chain)) return undefined;
  if (leadsTo === undefined) return BUILT_IN_MS;
  // rules of ours in built-in chains are all jumps
  return leadsTo.some((target) => target === FIREWALL || isOurs(table as TableName, target)) ? OWN_CHAIN_MS : undefined;
};

interface FamilyListener {
  readonly onChange: () => void;
  lastAt: number;
  /** Time of the next report. Undefined: no change was reported. */
  dueAt: number | undefined;
}

export class RuleWatch {
  readonly #now: () => number;
  readonly #listeners = new Map<IPFamily, FamilyListener>();
  readonly #feed: ReopeningSocket<ChangeFeed>;
  #timer: NodeJS.Timeout | undefined;
  #ownWrites = 0;

  constructor(
    open: () => ChangeFeed = () => ChainWatch.open(),
    now: () => number = () => performance.now(),
    warn: (message: string) => void = () => undefined,
  ) {
    this.#now = now;
    // while it is closed the audit at the end of each sync period finds changes
    const said = 'what others write to our rules is not heard just now, and found at the end of the sync period';
    this.#feed = new ReopeningSocket({ open, now, warn: (reason) => warn(`${said}: ${reason}`) });
  }

  /** Runs a write of our own, whose notifications are not listened to. */
  async ignoringOwnWrites<T>(write: () => Promise<T>): Promise<T> {
    if (this.#ownWrites === 0) this.poll();
    this.#ownWrites += 1;
    this.#feed.close();
    try {
      return await write();
    } finally {
      this.#ownWrites -= 1;
      this.#listen();
    }
  }

  listen(family: IPFamily, onChange: () => void): { stop(): void } {
    this.#listeners.set(family, { onChange, lastAt: Number.NEGATIVE_INFINITY, dueAt: undefined });
    this.#timer ??= setInterval(() => this.poll(), POLL_MS);
    this.#listen();
    return { stop: () => this.#stop(family) };
  }

  /** Reads the notifications so far, and calls the listeners whose report is due. */
  poll(): void {
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
    const patience = change === undefined ? OWN_CHAIN_MS : reportIntervalFor(change);
    if (patience === undefined) return;
    for (const [family, listener] of this.#listeners) {
      if (change !== undefined && change.family !== (family === 'IPv4' ? 'ip' : 'ip6')) continue;
      const dueAt = Math.max(this.#now(), listener.lastAt + patience);
      listener.dueAt = Math.min(listener.dueAt ?? dueAt, dueAt);
    }
  }

  #listen(): void {
    if (this.#ownWrites > 0 || this.#listeners.size === 0) return;
    const changes = this.#feed.ask((ear) => [...ear.changes()]) ?? [];
    // notifications were lost while the socket was broken: any chain may have changed
    for (const change of this.#feed.takeMissed() ? [undefined] : changes) this.#note(change);
  }

  #stop(family: IPFamily): void {
    this.#listeners.delete(family);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#feed.close();
  }
}
