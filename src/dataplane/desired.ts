/**
 * Desired state: the claims of owners on each kernel object, and the one that is granted.
 *
 * Kernel objects have owners, plural. Equal wishes are shared and leave with the last claim. Of different wishes for one id
 * the older owner's is granted (of two as old, the first by name); the other owners' statuses say so. The result does not
 * depend on the order in which fragments came.
 */
import type { Change, Fragment, KernelObject } from './contract.ts';

/** Owner of a claim and that owner's creation, milliseconds since 1970: of different claims the oldest is granted. */
export interface Age {
  readonly owner: string;
  readonly since: number;
}

interface Claim<O> extends Age {
  readonly object: O;
}

/** Claims on one object without those of some owners. */
export interface OtherClaims<O> {
  /** Each content once. */
  readonly wishes: readonly O[];
  readonly oldest: Age | undefined;
}

/** Compares by age, then by name: negative where the first is older. */
export const compareAge = (a: Age, b: Age): number =>
  a.since - b.since || (a.owner < b.owner ? -1 : a.owner === b.owner ? 0 : 1);

/** Claims in order of age, and the number of claims by content: kept for contested objects only. */
interface Contest<O> {
  readonly byAge: Claim<O>[];
  readonly contents: Map<string, number>;
}

/**
 * Claims on one object. A claim costs the logarithm of their number, as thousands of owners may share an object (a chain
 * that all Services use) or contest it (one external IP).
 */
class Claims<O extends KernelObject> {
  readonly #byOwner = new Map<string, Claim<O>>();
  /** One of the granted claims, which have equal contents. */
  #granted: Claim<O> | undefined;
  #contest: Contest<O> | undefined;

  get granted(): O | undefined {
    return this.#granted?.object;
  }

  get size(): number {
    return this.#byOwner.size;
  }

  get isContested(): boolean {
    return this.#contest !== undefined;
  }

  get(owner: string): O | undefined {
    return this.#byOwner.get(owner)?.object;
  }

  /** Owners, unordered. */
  names(): Iterable<string> {
    return this.#byOwner.keys();
  }

  /** Claims, unordered. */
  all(): Iterable<Claim<O>> {
    return this.#byOwner.values();
  }

  /** Owner of a granted claim. */
  get first(): string | undefined {
    return this.#granted?.owner;
  }

  /** Owners of granted claims, then the others; both by age. */
  owners(): readonly string[] {
    const claims = this.#contest?.byAge ?? [...this.#byOwner.values()].sort(compareAge);
    const isGranted = (claim: Claim<O>): boolean => claim.object.content === this.#granted?.object.content;
    return [...claims.filter(isGranted), ...claims.filter((claim) => !isGranted(claim))].map(({ owner }) => owner);
  }

  add(claim: Claim<O>): void {
    this.remove(claim.owner);
    this.#byOwner.set(claim.owner, claim);
    if (this.#contest !== undefined) {
      this.#contest.byAge.splice(positionOf(this.#contest.byAge, claim), 0, claim);
      count(this.#contest.contents, claim.object.content, 1);
      this.#decide(this.#contest);
    } else if (this.#granted === undefined) this.#granted = claim;
    else if (claim.object.content !== this.#granted.object.content) this.#open();
  }

  remove(owner: string): void {
    const claim = this.#byOwner.get(owner);
    if (claim === undefined) return;
    this.#byOwner.delete(owner);
    if (this.#contest !== undefined) {
      this.#contest.byAge.splice(this.#contest.byAge.indexOf(claim, positionOf(this.#contest.byAge, claim)), 1);
      count(this.#contest.contents, claim.object.content, -1);
      this.#decide(this.#contest);
    } else if (this.#granted === claim) this.#granted = this.#byOwner.values().next().value;
  }

  #open(): void {
    const byAge = [...this.#byOwner.values()].sort(compareAge);
    const contents = new Map<string, number>();
    for (const { object } of byAge) count(contents, object.content, 1);
    this.#contest = { byAge, contents };
    this.#decide(this.#contest);
  }

  /** Grants the oldest claim; ends the contest when one content is left. */
  #decide({ byAge, contents }: Contest<O>): void {
    this.#granted = byAge[0];
    if (contents.size <= 1) this.#contest = undefined;
  }
}

/** Position of a claim in order of age, whether it is in the list or not. */
const positionOf = <O>(byAge: readonly Claim<O>[], claim: Claim<O>): number => {
  let [low, high] = [0, byAge.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareAge(byAge[middle] as Claim<O>, claim) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
};

const count = (counts: Map<string, number>, key: string, by: 1 | -1): void => {
  const now = (counts.get(key) ?? 0) + by;
  if (now === 0) counts.delete(key);
  else counts.set(key, now);
};

/** Object that owners want with different contents. */
export interface Dispute {
  readonly id: string;
  /** True where the granted claim is that of the owner asked about. */
  readonly isGranted: boolean;
  /** Owners that want the object, those with the granted claim first. */
  readonly owners: readonly string[];
}

export class Desired<O extends KernelObject> {
  readonly #fragments = new Map<string, Fragment<O>>();
  readonly #claims = new Map<string, Claims<O>>();
  /** Owners of whose claims another set may be granted than before. */
  #affected = new Set<string>();

  get size(): number {
    return this.#fragments.size;
  }

  owners(): Iterable<string> {
    return this.#fragments.keys();
  }

  fragment(owner: string): Fragment<O> | undefined {
    return this.#fragments.get(owner);
  }

  /** Owners that want an object, those with the granted claim first. */
  claimants(id: string): readonly string[] {
    return this.#claims.get(id)?.owners() ?? [];
  }

  /** Claims on an object without those of these owners. Costs the number of claims. */
  claimsOfOthers(id: string, isOneOfThese: (owner: string) => boolean): OtherClaims<O> {
    const contents = new Map<string, O>();
    let oldest: Claim<O> | undefined;
    for (const claim of this.#claims.get(id)?.all() ?? []) {
      if (isOneOfThese(claim.owner)) continue;
      contents.set(claim.object.content, claim.object);
      if (oldest === undefined || compareAge(claim, oldest) < 0) oldest = claim;
    }
    return { wishes: [...contents.values()], oldest };
  }

  /** First object of an owner that another owner is granted; undefined when none is. Costs the owner's objects. */
  lost(owner: string): { readonly id: string; readonly to: string } | undefined {
    for (const { id, isGranted, claims } of this.#disputesOf(owner))
      if (!isGranted) return { id, to: claims.first ?? '' };
    return undefined;
  }

  /** Objects that an owner and others want with different contents. */
  disputes(owner: string): readonly Dispute[] {
    return [...this.#disputesOf(owner)].map(({ id, isGranted, claims }) => ({
      id,
      isGranted,
      owners: claims.owners(),
    }));
  }

  /** Owners whose granted claims may have changed since the last call. */
  takeAffected(): ReadonlySet<string> {
    const affected = this.#affected;
    this.#affected = new Set();
    return affected;
  }

  /** Replaces an owner's wishes (undefined: none). Returns the changes of granted objects. */
  put(owner: string, fragment: Fragment<O> | undefined): readonly Change<O>[] {
    const former = this.#fragments.get(owner);
    const ids = new Set([...(former?.objects ?? []), ...(fragment?.objects ?? [])].map((object) => object.id));
    const before = new Map([...ids].map((id) => [id, this.#grantedAt(id)]));
    for (const object of former?.objects ?? []) this.#claims.get(object.id)?.remove(owner);
    for (const object of fragment?.objects ?? []) this.#claim(owner, fragment?.since ?? 0, object);
    if (fragment === undefined) this.#fragments.delete(owner);
    else this.#fragments.set(owner, fragment);
    for (const [id, granted] of before) this.#affect(owner, id, granted);
    return [...before].flatMap(([id, granted]) => change(granted?.object, this.#claims.get(id)?.granted));
  }

  #grantedAt(id: string): Granted<O> | undefined {
    const claims = this.#claims.get(id);
    return claims && { object: claims.granted, owner: claims.first };
  }

  *#disputesOf(owner: string): Iterable<Omit<Dispute, 'owners'> & { readonly claims: Claims<O> }> {
    for (const own of this.#fragments.get(owner)?.objects ?? []) {
      const claims = this.#claims.get(own.id);
      if (claims?.isContested !== true) continue;
      yield { id: own.id, isGranted: own.content === claims.granted?.content, claims };
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

  /** Marks affected owners: all claimants when another claim is granted, else this owner alone. */
  #affect(owner: string, id: string, before: Granted<O> | undefined): void {
    const claims = this.#claims.get(id);
    this.#affected.add(owner);
    if (claims === undefined) return;
    if (claims.size === 0) this.#claims.delete(id);
    const isSameContent = before?.object?.content === claims.granted?.content;
    const isSame = isSameContent && (before?.owner === claims.first || !claims.isContested);
    if (before?.object !== undefined && !isSame) for (const name of claims.names()) this.#affected.add(name);
  }
}

interface Granted<O> {
  readonly object: O | undefined;
  readonly owner: string | undefined;
}

/** The change from one state of an object to another: one or none. */
export const change = <O extends KernelObject>(have: O | undefined, want: O | undefined): readonly Change<O>[] => {
  if (have === undefined) return want === undefined ? [] : [{ op: 'add', object: want }];
  if (want === undefined) return have.stays ? [] : [{ op: 'remove', object: have }];
  return have.content === want.content ? [] : [{ op: 'replace', object: want, previous: have }];
};

/** Changes from one set of objects to another, of the given ids only if there are any. */
export const diff = <O extends KernelObject>(
  have: ReadonlyMap<string, O>,
  want: ReadonlyMap<string, O>,
  ids: Iterable<string> = new Set([...have.keys(), ...want.keys()]),
): readonly Change<O>[] => [...ids].flatMap((id) => change(have.get(id), want.get(id)));
