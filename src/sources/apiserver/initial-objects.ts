/** Objects of a streaming list before the bookmark that ends its initial events; an object may change or go meanwhile. */
import { digText, type RawObject } from '../raw.ts';
import type { ObjectEvent } from './watch.ts';

export class InitialObjects {
  readonly #objects = new Map<string, RawObject>();

  apply({ type, object }: ObjectEvent): void {
    const key = `${digText(object, 'metadata', 'namespace')}/${digText(object, 'metadata', 'name')}`;
    if (type === 'put') this.#objects.set(key, object);
    else this.#objects.delete(key);
  }

  /** All objects, which are not kept any longer. */
  take(): readonly RawObject[] {
    const objects = [...this.#objects.values()];
    this.#objects.clear();
    return objects;
  }
}
