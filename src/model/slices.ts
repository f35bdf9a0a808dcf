/** EndpointSlices by key and by Service. */
import type { Slice } from './endpoint.ts';

export class Slices {
  readonly #byService = new Map<string, Map<string, Slice>>();
  readonly #serviceOf = new Map<string, string>();

  serviceOf(key: string): string | undefined {
    return this.#serviceOf.get(key);
  }

  of(service: string): readonly Slice[] {
    return [...(this.#byService.get(service)?.values() ?? [])];
  }

  /** Adds or replaces a slice; returns the former slice of this key, which may be another Service's. */
  put(slice: Slice): Slice | undefined {
    const known = this.remove(slice.key);
    const siblings = this.#byService.get(slice.service) ?? new Map<string, Slice>();
    siblings.set(slice.key, slice);
    this.#byService.set(slice.service, siblings);
    this.#serviceOf.set(slice.key, slice.service);
    return known;
  }

  /** Removes a slice; returns it, or undefined when there was none. */
  remove(key: string): Slice | undefined {
    const service = this.#serviceOf.get(key);
    if (service === undefined) return undefined;
    const siblings = this.#byService.get(service);
    const slice = siblings?.get(key);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#byService.delete(service);
    this.#serviceOf.delete(key);
    return slice;
  }
}
