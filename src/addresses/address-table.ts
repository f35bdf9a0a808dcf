/**
 * The node's addresses, by link; several links may have the same address. Pure.
 *
 * An added address counts at once. A removed address counts for a grace period: a link that loses its carrier often
 * loses its address and gets it back within seconds, and NodePorts and connections on that address must not be
 * affected.
 */

/** Link with the addresses of Services (kube-proxy's mode ipvs); they are not the node's own. */
export const SERVICE_LINK = 'kube-ipvs0';

export type AddressesByLink = ReadonlyMap<number, ReadonlySet<string>>;

export class AddressTable {
  readonly #graceMs: number;
  #links = new Map<number, Set<string>>();
  /** Number of links that have an address; 0 during its grace period. */
  readonly #holders = new Map<string, number>();
  /** End of the grace period of an address that no link has, in milliseconds. */
  readonly #leaving = new Map<string, number>();
  #serviceLink: number | undefined;
  #sorted: readonly string[] | undefined;

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** Distinct addresses, sorted; the same array as long as nothing changes. */
  get addresses(): readonly string[] {
    this.#sorted ??= Object.freeze([...this.#holders.keys()].sort());
    return this.#sorted;
  }

  /** Whether a link has the addresses of Services, which are ignored. */
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

  /**
   * Sets the link with the addresses of Services; undefined when there is none. Returns true when a former such link
   * became an ordinary one, whose addresses are unknown.
   */
  setServiceLink(index: number | undefined, now: number): boolean {
    const former = this.#serviceLink;
    this.#serviceLink = index;
    if (index === former) return false;
    // these addresses were never the node's own: no grace period
    if (index !== undefined) this.#drop(index, now);
    this.expire(now);
    return former !== undefined;
  }

  /** Notes the name of a link. Returns true as `setServiceLink` does. */
  linkNamed(index: number, name: string, now: number): boolean {
    if (name === SERVICE_LINK) return this.setServiceLink(index, now);
    return this.isServiceLink(index) && this.setServiceLink(undefined, now);
  }

  linkGone(index: number, now: number): void {
    this.#drop(index, now + this.#graceMs);
    if (this.isServiceLink(index)) this.#serviceLink = undefined;
  }

  /** Replaces all addresses by a complete dump. */
  replace(found: AddressesByLink, now: number): void {
    for (const [index, addresses] of found) for (const address of addresses) this.add(index, address);
    for (const [index, addresses] of this.#links) {
      const kept = found.get(index);
      for (const address of [...addresses]) if (kept?.has(address) !== true) this.remove(index, address, now);
    }
  }

  /** Removes addresses whose grace period has ended. */
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
