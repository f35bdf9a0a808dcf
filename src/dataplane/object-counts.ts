/** Counts of the kernel's objects for metrics, kept as objects come and go: a change costs what it changes. */
import type { KernelObject, Measure } from './contract.ts';

export type MeasureOf<O> = (object: O) => Measure | undefined;

export class ObjectCounts<O extends KernelObject> {
  readonly #measure: MeasureOf<O> | undefined;
  readonly #counts = new Map<string, number>();

  constructor(measure: MeasureOf<O> | undefined) {
    this.#measure = measure;
  }

  /** Counts by name; 0 for a name whose objects are all gone. */
  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  /** Replaces an object by another one; undefined: none. */
  change(previous: O | undefined, next: O | undefined): void {
    if (this.#measure === undefined) return;
    this.#add(previous, -1);
    this.#add(next, 1);
  }

  /** Sets all counts to 0. */
  clear(): void {
    for (const of of this.#counts.keys()) this.#counts.set(of, 0);
  }

  #add(object: O | undefined, times: 1 | -1): void {
    const measure = object === undefined ? undefined : this.#measure?.(object);
    if (measure === undefined) return;
    this.#counts.set(measure.of, (this.#counts.get(measure.of) ?? 0) + times * measure.count);
  }
}
