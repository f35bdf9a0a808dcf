/** The contents of a source, read once: for commands that do not watch. */
import { OBJECT_KINDS, type ObjectKind, type ObjectSink } from '../model/kubernetes.ts';
import type { ObjectSource } from './source.ts';

export type Snapshot = Readonly<Record<ObjectKind, readonly unknown[]>>;

/**
 * Runs a source until each kind was handed over once, then stops it. Rejects with the signal's reason when aborted
 * before; AbortSignal.timeout bounds the wait for an API server.
 */
export const snapshot = async (source: ObjectSource, signal: AbortSignal): Promise<Snapshot> => {
  const done = new AbortController();
  const contents = new Map<ObjectKind, readonly unknown[]>();
  const sink: ObjectSink = {
    replace: (kind, objects) => {
      contents.set(kind, objects);
      if (contents.size === OBJECT_KINDS.length) done.abort();
    },
    // later changes are left out: a kind is as it was at its replace
    put: () => undefined,
    remove: () => undefined,
  };
  await source.run(sink, AbortSignal.any([signal, done.signal]));
  if (!done.signal.aborted) signal.throwIfAborted();
  const of = (kind: ObjectKind): readonly unknown[] => contents.get(kind) ?? [];
  return {
    Service: of('Service'),
    EndpointSlice: of('EndpointSlice'),
    Node: of('Node'),
    ServiceCIDR: of('ServiceCIDR'),
  };
};
