/** Endpoints that left frontends with session affinity, until no client is remembered with them. */

import type { EndpointAddress } from './objects.ts';
import type { DepartedLookup } from './stale-affinity.ts';

export interface DepartedEndpoint {
  /** Key of a frontend: `10.96.0.1 . tcp . 80`, `tcp . 30080`. */
  readonly frontend: string;
  readonly target: EndpointAddress;
}

interface State {
  /** Number of the departure: after another departure of the same endpoint the map is walked again. */
  readonly number: number;
  /** True for an endpoint that came back, whose clients stay. */
  readonly isBack: boolean;
}

/** Departures at one moment. */
export type DepartureSnapshot = readonly (DepartedEndpoint & { readonly number: number })[];

export class DepartedEndpoints implements DepartedLookup {
  readonly #departed = new Map<string, Map<EndpointAddress, State>>();
  #count = 0;

  get isEmpty(): boolean {
    return this.#departed.size === 0;
  }

  hasFrontend(key: string): boolean {
    return this.#departed.has(key);
  }

  has(key: string, target: EndpointAddress): boolean {
    return this.#departed.get(key)?.get(target)?.isBack === false;
  }

  of(key: string): readonly EndpointAddress[] {
    return [...(this.#departed.get(key)?.keys() ?? [])];
  }

  leave(key: string, targets: Iterable<EndpointAddress>): void {
    for (const target of targets) this.#put(key, target, { number: ++this.#count, isBack: false });
  }

  /** Marks these endpoints as back in the frontend. */
  comeBack(key: string, targets: Iterable<EndpointAddress>): void {
    for (const target of targets) {
      const state = this.#departed.get(key)?.get(target);
      if (state !== undefined) this.#put(key, target, { ...state, isBack: true });
    }
  }

  #put(key: string, target: EndpointAddress, state: State): void {
    const targets = this.#departed.get(key);
    if (targets === undefined) this.#departed.set(key, new Map([[target, state]]));
    else targets.set(target, state);
  }

  snapshot(): DepartureSnapshot {
    return [...this.#departed].flatMap(([frontend, targets]) =>
      [...targets].map(([target, { number }]) => ({ frontend, target, number })),
    );
  }

  /** Removes and returns those that have not departed again since the snapshot. */
  settle(snapshot: DepartureSnapshot): readonly DepartedEndpoint[] {
    return snapshot.filter(({ frontend, target, number }) => {
      const targets = this.#departed.get(frontend);
      if (targets?.get(target)?.number !== number) return false;
      targets.delete(target);
      if (targets.size === 0) this.#departed.delete(frontend);
      return true;
    });
  }

  clear(): void {
    this.#departed.clear();
  }
}
