/** Listens in on the first thing that a backend reads: what the kernel held when this process came. */
import type { Backend, KernelObject } from '../dataplane/contract.ts';
import type { Place } from '../model/flows.ts';

/** The same backend. Whatever else the contract has goes through as it is. */
export const tellFirstRead = <O extends KernelObject, B>(
  backend: Backend<O, B>,
  take: (places: Iterable<Place>) => void,
): Backend<O, B> => {
  let isFirst = true;
  const read = async (signal: AbortSignal): Promise<ReadonlyMap<string, O>> => {
    const found = await backend.read(signal);
    if (isFirst) take(placesIn(backend, [...found.values()]));
    isFirst = false;
    return found;
  };
  return new Proxy(backend, {
    get: (target, key) => {
      if (key === 'read') return read;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
};

/** One by one, as they are asked for: there may be very many. */
function* placesIn<O extends KernelObject, B>(backend: Backend<O, B>, objects: readonly O[]): Generator<Place> {
  for (const object of objects) yield* backend.placesOf?.(object) ?? [];
}
