/** Desired state without a kernel, for dumps: by owner, in an order that depends on the objects alone. */

import type { Work } from '../model/family-work.ts';
import { compareText } from '../model/order.ts';
import { ownerOf } from '../model/service.ts';
import type { Backend, KernelObject, Section } from './contract.ts';
import { KernelState } from './state.ts';

export interface Compiled<O extends KernelObject> {
  readonly state: KernelState<O>;
  readonly sections: readonly Section<O>[];
  /** Owners that could not be compiled, and why. */
  readonly problems: readonly { readonly owner: string; readonly message: string }[];
}

const BASE = 'base';
/** Heading of objects that hold parts of many owners' wishes. */
const SHARED = 'dispatch';

/** Compiles all service ports into a fresh state. Never throws: owners that do not compile are in `problems`. */
export const compileAll = <O extends KernelObject, B>(backend: Backend<O, B>, input: Work): Compiled<O> => {
  const state = new KernelState<O>(backend.arranger?.());
  const problems: { owner: string; message: string }[] = [];
  state.stage(BASE, backend.base(input.node));
  for (const service of input.services) {
    const owner = ownerOf(service.port.name);
    try {
      state.stage(owner, backend.compile(service, input.node));
    } catch (error) {
      problems.push({ owner, message: error instanceof Error ? error.message : String(error) });
    }
  }
  return { state, sections: sectionsOf(state), problems };
};

/** Order of headings: base first, owners by name, shared objects last. */
export const compareOwners = (a: string, b: string): number => compareText(order(a), order(b));

const order = (owner: string): string => (owner === BASE ? '0' : owner === SHARED ? '2' : `1${owner}`);

/** The heading under which a wanted object stands: the owner whose wish was granted. */
export const headingOf = <O extends KernelObject>(state: KernelState<O>, id: string): string =>
  state.ownerOf(id) ?? SHARED;

/** Groups wanted objects by their headings. */
export const sectionsOf = <O extends KernelObject>(state: KernelState<O>): readonly Section<O>[] => {
  const byOwner = new Map<string, O[]>();
  for (const object of state.want.values()) {
    const owner = headingOf(state, object.id);
    const objects = byOwner.get(owner);
    if (objects === undefined) byOwner.set(owner, [object]);
    else objects.push(object);
  }
  return [...byOwner]
    .sort(([a], [b]) => compareOwners(a, b))
    .map(([title, objects]) => ({ title, objects: objects.sort((a, b) => compareText(a.id, b.id)) }));
};
