/**
 * What owners want, and what is granted: the claims on each kernel object.
 *
 * Kernel objects have owners, plural. Equal wishes are shared and leave with the last claim; of different wishes for one
 * id the older owner's is granted (then the name's order decides), and the others are told. The result does not depend
 * on the order in which fragments came.
 */
import type { Change, Fragment, KernelObject } from './contract.ts';

interface Claim<O> {
  readonly owner: string;
  readonly since: number;
  readonly object: O;
}

const isOlder = <O>(a: Claim<O>, b: Claim<O>): boolean =>
  a.since < b.since || (a.since === b.since && a.owner < b.owner);

const oldest = <O>(claims: Iterable<Claim<O>>): Claim<O> | undefined => {
  let found: Claim<O> | undefined;
  for (const claim of claims) if (found === undefined || isOlder(claim, found)) found = claim;
  return found;
};

/** Who wants one object. Thousands may (a chain that all of them use), so coming and going costs the same for any number. */
class Claims<O extends KernelObject> {
  readonly #byOwner = new Map<string, Claim<O>>();
  /** One of those whose wish is granted: they all want the same. */
  #granted: Claim<O> | undefined;
  /** How many want it otherwise. */
  #others = 0;

  get granted(): O | undefined {
    return this.#granted?.object;
  }

  get size(): number {
    return this.#byOwner.size;
  }

  get isContested(): boolean {
    return this.#others > 0;
  }

  get(owner: string): O | undefined {
    return this.#byOwner.get(owner)?.object;
  }

  /** The one whose wish is granted first. */
  owners(): readonly string[] {
    const claims = [...this.#byOwner.values()].sort((a, b) => (isOlder(a, b) ? -1 : 1));
    const isGranted = (claim: Claim<O>): boolean => claim.object.content === this.#granted?.object.content;
    return [...claims.filter(isGranted), ...claims.filter((claim) => !isGranted(claim))].map(({ owner }) => owner);
  }

  add(claim: Claim<O>): void {
    this.remove(claim.owner);
    this.#byOwner.set(claim.owner, claim);
    if (this.#granted === undefined) this.#granted = claim;
    else if (this.isContested || claim.object.content !== this.#granted.object.content) this.#decide();
  }

  remove(owner: string): void {
    const claim = this.#byOwner.get(owner);
    if (claim === undefined) return;
    this.#byOwner.delete(owner);
    if (this.isContested) this.#decide();
    else if (this.#granted === claim) this.#granted = this.#byOwner.values().next().value;
  }

  /** Wishes differ: the oldest is granted. */
  #decide(): void {
    this.#granted = oldest(this.#byOwner.values());
    this.#others = 0;
    for (const { object } of this.#byOwner.values()) {
      if (object.content !== this.#granted?.object.content) this.#others += 1;
    }
  }
}

/** An object of which different owners want different things. */
export interface Dispute {
  readonly id: string;
  /** Whether the owner that was asked about has its way. */
  readonly isGranted: boolean;
  /** All that want it, one that has it first. */
  readonly owners: readonly string[];
}

export class Desired<O extends KernelObject> {
  readonly #fragments = new Map<string, Fragment<O>>();
  readonly #claims = new Map<string, Claims<O>>();
  /** Ids of which not every claim is granted. */
  readonly #contested = new Set<string>();

  get size(): number {
    return this.#fragments.size;
  }

  owners(): Iterable<string> {
    return this.#fragments.keys();
  }

  fragment(owner: string): Fragment<O> | undefined {
    return this.#fragments.get(owner);
  }

  /** Owners that want this object, one whose wish is granted first. */
  claimants(id: string): readonly string[] {
    return this.#claims.get(id)?.owners() ?? [];
  }

  /** For an owner that did not get all it wants: the first object it lost, and to whom. */
  lost(owner: string): { readonly id: string; readonly to: string } | undefined {
    for (const { id, isGranted, owners } of this.#disputesOf(owner))
      if (!isGranted) return { id, to: owners()[0] ?? '' };
    return undefined;
  }

  /** Objects that this owner and others want differently. Costs what is contested at all. */
  disputes(owner: string): readonly Dispute[] {
    return [...this.#disputesOf(owner)].map(({ id, isGranted, owners }) => ({ id, isGranted, owners: owners() }));
  }

  /** Owners that share a contested object with this one: their status may change when its wishes do. */
  rivals(owner: string): readonly string[] {
    const ids = [...this.#contested].filter((id) => this.#claims.get(id)?.get(owner) !== undefined);
    return [...new Set(ids.flatMap((id) => this.claimants(id)))].filter((other) => other !== owner);
  }

  /** Takes an owner's wishes in place of its former ones; undefined = it wants nothing any more. */
  put(owner: string, fragment: Fragment<O> | undefined): readonly Change<O>[] {
    const former = this.#fragments.get(owner);
    const ids = new Set([...(former?.objects ?? []), ...(fragment?.objects ?? [])].map((object) => object.id));
    const before = new Map([...ids].map((id) => [id, this.#claims.get(id)?.granted]));
    for (const object of former?.objects ?? []) this.#claims.get(object.id)?.remove(owner);
    for (const object of fragment?.objects ?? []) this.#claim(owner, fragment?.since ?? 0, object);
    for (const id of ids) this.#note(id);
    if (fragment === undefined) this.#fragments.delete(owner);
    else this.#fragments.set(owner, fragment);
    return [...before].flatMap(([id, previous]) => change(previous, this.#claims.get(id)?.granted));
  }

  *#disputesOf(owner: string): Iterable<Omit<Dispute, 'owners'> & { readonly owners: () => readonly string[] }> {
    for (const id of this.#contested) {
      const claims = this.#claims.get(id);
      const own = claims?.get(owner);
      if (claims === undefined || own === undefined) continue;
      yield { id, isGranted: own.content === claims.granted?.content, owners: () => claims.owners() };
    }
  }

  #claim(owner: string, since: number, object: O): void {
    let claims = this.#claims.get(object.id);
    if (claims === undefined) {
      claims = new Claims();
      this.#claims.set(object.id, claims);
    }
    claims.add({ owner, since, object });
  }

  #note(id: string): void {
    const claims = this.#claims.get(id);
    if (claims?.size === 0) this.#claims.delete(id);
    if (claims?.isContested === true) this.#contested.add(id);
    else this.#contested.delete(id);
  }
}

/** The change that leads from one state of an object to another: none if they are equal. */
export const change = <O extends KernelObject>(have: O | undefined, want: O | undefined): readonly Change<O>[] => {
  if (have === undefined) return want === undefined ? [] : [{ op: 'add', object: want }];
  if (want === undefined) return have.stays ? [] : [{ op: 'remove', object: have }];
  return have.content === want.content ? [] : [{ op: 'replace', object: want, previous: have }];
};

/** All changes that lead from one set of objects to another; only the given ids if there are any. */
export const diff = <O extends KernelObject>(
  have: ReadonlyMap<string, O>,
  want: ReadonlyMap<string, O>,
  ids: Iterable<string> = new Set([...have.keys(), ...want.keys()]),
): readonly Change<O>[] => [...ids].flatMap((id) => change(have.get(id), want.get(id)));
