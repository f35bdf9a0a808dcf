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

export class Desired<O extends KernelObject> {
  readonly #fragments = new Map<string, Fragment<O>>();
  /** Id → claims, the granted one first. */
  readonly #claims = new Map<string, readonly Claim<O>[]>();
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

  /** Owners that want this object, the one whose wish is granted first. */
  claimants(id: string): readonly string[] {
    return (this.#claims.get(id) ?? []).map((claim) => claim.owner);
  }

  /** For an owner that did not get all it wants: the first object it lost, and to whom. */
  lost(owner: string): { readonly id: string; readonly to: string } | undefined {
    for (const id of this.#contested) {
      const claims = this.#claims.get(id) ?? [];
      const [granted] = claims;
      const own = claims.find((claim) => claim.owner === owner);
      if (granted !== undefined && own !== undefined && own.object.content !== granted.object.content) {
        return { id, to: granted.owner };
      }
    }
    return undefined;
  }

  /** Owners that share a contested object with this one: their status may change when its wishes do. */
  rivals(owner: string): readonly string[] {
    const ids = [...this.#contested].filter((id) => this.claimants(id).includes(owner));
    return [...new Set(ids.flatMap((id) => this.claimants(id)))].filter((other) => other !== owner);
  }

  /** Takes an owner's wishes in place of its former ones; undefined = it wants nothing any more. */
  put(owner: string, fragment: Fragment<O> | undefined): readonly Change<O>[] {
    const former = this.#fragments.get(owner);
    const ids = new Set([...(former?.objects ?? []), ...(fragment?.objects ?? [])].map((object) => object.id));
    const before = new Map([...ids].map((id) => [id, this.#claims.get(id)?.[0]?.object]));
    for (const object of former?.objects ?? []) this.#withdraw(owner, object.id);
    for (const object of fragment?.objects ?? []) this.#claim(owner, fragment?.since ?? 0, object);
    if (fragment === undefined) this.#fragments.delete(owner);
    else this.#fragments.set(owner, fragment);
    return [...before].flatMap(([id, previous]) => change(previous, this.#claims.get(id)?.[0]?.object));
  }

  #claim(owner: string, since: number, object: O): void {
    const claim = { owner, since, object };
    const others = (this.#claims.get(object.id) ?? []).filter((other) => other.owner !== owner);
    const at = others.findIndex((other) => isOlder(claim, other));
    const claims = at === -1 ? [...others, claim] : [...others.slice(0, at), claim, ...others.slice(at)];
    this.#setClaims(object.id, claims);
  }

  #withdraw(owner: string, id: string): void {
    const claims = (this.#claims.get(id) ?? []).filter((claim) => claim.owner !== owner);
    this.#setClaims(id, claims);
  }

  #setClaims(id: string, claims: readonly Claim<O>[]): void {
    if (claims.length === 0) this.#claims.delete(id);
    else this.#claims.set(id, claims);
    const isContested = claims.some((claim) => claim.object.content !== claims[0]?.object.content);
    if (isContested) this.#contested.add(id);
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
