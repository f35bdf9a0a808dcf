/** Listens to a backend's first read: the addresses and ports that the kernel served when this process started. */
import type { Backend, KernelObject } from '../dataplane/contract.ts';
import type { Place } from '../model/flows.ts';

/** The backend with a listener at its first read. */
export const listenToFirstRead = <O extends KernelObject, B>(
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
  return { ...backend, read };
};

/** A generator, as there may be very many. */
function* placesIn<O extends KernelObject, B>(backend: Backend<O, B>, objects: readonly O[]): Generator<Place> {
  for (const object of objects) yield* backend.placesOf?.(object) ?? [];
}
