/**
 * Which addresses the node has, from what is told of its links: a set that many links may hold an address of. Pure.
 *
 * What comes counts at once; what goes counts for a while longer, as a link that loses its carrier often has its address
 * taken away and given back within seconds, and what hangs on the address (NodePorts, connections through it) need not notice.
 */

/** The link on which mode ipvs puts the addresses of Services: they are not the node's own. */
export const SERVICE_LINK = 'kube-ipvs0';

export type AddressesByLink = ReadonlyMap<number, ReadonlySet<string>>;

export class AddressTable {
  readonly #graceMs: number;
  #links = new Map<number, Set<string>>();
  /** Address → how many links have it; none where it is about to go. */
  readonly #holders = new Map<string, number>();
  /** Address that no link has → when it ceases to count, in milliseconds. */
  readonly #leaving = new Map<string, number>();
  #serviceLink: number | undefined;
  #sorted: readonly string[] | undefined;

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** Each once and in order; the same array as long as nothing changes. */
  get addresses(): readonly string[] {
    this.#sorted ??= Object.freeze([...this.#holders.keys()].sort());
    return this.#sorted;
  }

  /** Whether what this link has is not the node's own. */
  isServiceLink(index: number): boolean {
    return index === this.#serviceLink;
  }

  add(index: number, address: string): void {
    if (this.isServiceLink(index)) return;
    const known = this.#links.get(index);
    if (known?.has(address)) return;
    if (known === undefined) this.#links.set(index, new Set([address]));
    else known.add(address);
    const holders = this.#holders.get(address);
    if (holders === undefined) this.#sorted = undefined;
    this.#leaving.delete(address);
    this.#holders.set(address, (holders ?? 0) + 1);
  }

  remove(index: number, address: string, now: number): void {
    this.#removeFrom(index, address, now + this.#graceMs);
  }

  /** The link of Services' addresses; undefined where there is none. Gives true where a link was passed over until now. */
  setServiceLink(index: number | undefined, now: number): boolean {
    const former = this.#serviceLink;
    this.#serviceLink = index;
    if (index === former) return false;
    // they never were the node's own: nothing to wait for
    if (index !== undefined) this.#drop(index, now);
    this.expire(now);
    return former !== undefined;
  }

  /** A link is there under this name. Gives the same. */
  linkNamed(index: number, name: string, now: number): boolean {
    if (name === SERVICE_LINK) return this.setServiceLink(index, now);
    return this.isServiceLink(index) && this.setServiceLink(undefined, now);
  }

  linkGone(index: number, now: number): void {
    this.#drop(index, now + this.#graceMs);
    if (this.isServiceLink(index)) this.#serviceLink = undefined;
  }

  /** All that there is, as it was listed. */
  replace(found: AddressesByLink, now: number): void {
    for (const [index, addresses] of found) for (const address of addresses) this.add(index, address);
    for (const [index, addresses] of this.#links) {
      const kept = found.get(index);
      for (const address of [...addresses]) if (kept?.has(address) !== true) this.remove(index, address, now);
    }
  }

  /** Lets go what has been away for long enough. */
  expire(now: number): void {
    for (const [address, at] of this.#leaving) {
      if (now < at) continue;
      this.#leaving.delete(address);
      this.#holders.delete(address);
      this.#sorted = undefined;
    }
  }

  #drop(index: number, goneAt: number): void {
    for (const address of [...(this.#links.get(index) ?? [])]) this.#removeFrom(index, address, goneAt);
  }

  #removeFrom(index: number, address: string, goneAt: number): void {
    const known = this.#links.get(index);
    if (known?.delete(address) !== true) return;
    if (known.size === 0) this.#links.delete(index);
    const holders = (this.#holders.get(address) ?? 0) - 1;
    this.#holders.set(address, holders);
    if (holders === 0) this.#leaving.set(address, goneAt);
  }
}
