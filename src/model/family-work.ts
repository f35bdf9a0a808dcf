/** Work of one IP family: Services to compile again, and the owners that each had when it was compiled last. */
import type { NodeContext } from './node.ts';

/** Times at which changes of endpoints were triggered, milliseconds since 1970. */
export type TriggerTimes = readonly number[];

/** First in a first sync: everything else on a new node waits for the API server's address. */
const API_SERVICE = 'default/kubernetes';

export class FamilyWork {
  /** Service `ns/name` → trigger times of its changes. */
  #dirty = new Map<string, TriggerTimes>();
  /** Service → owners. */
  readonly #owners = new Map<string, readonly string[]>();
  /** As it was last taken; undefined where it has to be taken again. */
  node: NodeContext | undefined;

  get isEmpty(): boolean {
    return this.#dirty.size === 0 && this.node !== undefined;
  }

  mark(service: string, toTimes: (times: TriggerTimes) => TriggerTimes): void {
    this.#dirty.set(service, toTimes(this.#dirty.get(service) ?? []));
  }

  /** All that is dirty, and is not any more; with `all` these Services and all that had owners besides. */
  take(all: Iterable<string> | undefined): Map<string, TriggerTimes> {
    const dirty = this.#dirty;
    this.#dirty = new Map();
    const names = all === undefined ? dirty.keys() : [...all, ...this.#owners.keys(), ...dirty.keys()];
    const ordered = this.#owners.size === 0 ? [API_SERVICE, ...names] : names;
    return new Map([...ordered].map((name) => [name, dirty.get(name) ?? []]));
  }

  /** Takes the owners that a Service has now; gives those that are gone. */
  compiled(service: string, owners: ReadonlySet<string>): readonly string[] {
    const gone = (this.#owners.get(service) ?? []).filter((owner) => !owners.has(owner));
    if (owners.size === 0) this.#owners.delete(service);
    else this.#owners.set(service, [...owners]);
    return gone;
  }
}
