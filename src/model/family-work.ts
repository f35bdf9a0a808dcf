/** Work of one IP family: Services to compile again, and the owners that each had when it was compiled last. */
import type { NodeContext } from './node.ts';
import type { ServiceEndpoints } from './topology.ts';

/** Trigger times of endpoints' changes, milliseconds since 1970. */
export type TriggerTimes = readonly number[];

/** Service that is first in a first sync: other programs on a new node wait for the API server's address. */
const API_SERVICE = 'default/kubernetes';

/** Changes of one family since its work was last taken: the input of a sync. */
export interface Work {
  readonly node: NodeContext;
  /** True when the node context changed: `services` are then all there are. */
  readonly nodeChanged: boolean;
  readonly services: readonly ServiceEndpoints[];
  /** Owners that were removed. */
  readonly gone: readonly string[];
}

export class FamilyWork {
  /** Trigger times of changes, by Service `ns/name`. */
  #dirty = new Map<string, TriggerTimes>();
  /** Owners by Service. */
  readonly #owners = new Map<string, readonly string[]>();
  /** Node context that was taken last; undefined when it has to be taken again. */
  node: NodeContext | undefined;

  get isEmpty(): boolean {
    return this.#dirty.size === 0 && this.node !== undefined;
  }

  mark(service: string, toTimes: (times: TriggerTimes) => TriggerTimes): void {
    this.#dirty.set(service, toTimes(this.#dirty.get(service) ?? []));
  }

  /** Takes the dirty Services; with `all` these Services too, and those that had owners. */
  take(all: Iterable<string> | undefined): Map<string, TriggerTimes> {
    const dirty = this.#dirty;
    this.#dirty = new Map();
    const names = all === undefined ? dirty.keys() : [...all, ...this.#owners.keys(), ...dirty.keys()];
    const ordered = this.#owners.size === 0 ? [API_SERVICE, ...names] : names;
    return new Map([...ordered].map((name) => [name, dirty.get(name) ?? []]));
  }

  /** Sets the owners of a Service; returns the former ones that are gone. */
  compiled(service: string, owners: ReadonlySet<string>): readonly string[] {
    const gone = (this.#owners.get(service) ?? []).filter((owner) => !owners.has(owner));
    if (owners.size === 0) this.#owners.delete(service);
    else this.#owners.set(service, [...owners]);
    return gone;
  }
}
