/** Listens to a backend's first read: the addresses and ports that the kernel served when this process started. */
import type { Backend, KernelObject } from '../dataplane/contract.ts';
import type { AddressPort } from '../model/frontend.ts';

/** The backend with a listener at its first read. */
export const listenToFirstRead = <O extends KernelObject, B>(
  backend: Backend<O, B>,
  take: (places: Iterable<AddressPort>) => void,
): Backend<O, B> => {
  let isFirst = true;
  const read = async (signal: AbortSignal): Promise<ReadonlyMap<string, O>> => {
    const found = await backend.read(signal);
    if (isFirst) take(addressPortsIn(backend, [...found.values()]));
    isFirst = false;
    return found;
  };
  return { ...backend, read };
};

/** A generator, as there may be very many. */
function* addressPortsIn<O extends KernelObject, B>(
  backend: Backend<O, B>,
  objects: readonly O[],
): Generator<AddressPort> {
  for (const object of objects) yield* backend.addressPortsOf?.(object) ?? [];
}
