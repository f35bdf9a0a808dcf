/**
 * The contract between the engine and a backend.
 *
 * A backend is a pure compiler from one resolved service port to kernel objects, plus a driver that reads and writes
 * them. The engine does the rest by `diff(have, want)`: start-up, events, audits, clean-up and dumps are the same call
 * with other arguments, so a backend has no delete, start-up or clean-up logic of its own.
 */
import type { Place } from '../model/flows.ts';
import type { NodeContext } from '../model/node.ts';
import type { ServiceEndpoints } from '../model/topology.ts';

export interface KernelObject {
  /** The backend's own closed union: `chain`, `element`, `virtual-server` … */
  readonly kind: string;
  /** Identity in the kernel. */
  readonly id: string;
  /** Everything else, in the form in which the kernel lists it: equal text means equal object. */
  readonly content: string;
  /** Set when wanted, and never taken back: others may have come to rely on it. */
  readonly stays?: true;
  /** Found on its way out, which it goes by itself: its absence is no loss, its presence no difference. */
  readonly leaves?: true;
}

/** The kernel objects that one owner wants. */
export interface Fragment<O> {
  readonly owner: string;
  readonly objects: readonly O[];
  /** When the owner came to be, milliseconds since 1970: of two wishes for one object the older owner's is granted. */
  readonly since: number;
  /** What the owner asked for and does not get, for people to read. */
  readonly notes?: readonly string[];
}

export type Change<O> =
  | { readonly op: 'add'; readonly object: O }
  | { readonly op: 'replace'; readonly object: O; readonly previous: O }
  | { readonly op: 'remove'; readonly object: O };

/** What is printed under one heading: an owner's objects, or those that are nobody's alone. */
export interface Section<O> {
  readonly title: string;
  readonly objects: readonly O[];
}

/** Complete input of one tool. */
export interface Part {
  readonly tool: string;
  readonly text: string;
}

/** One kernel transaction: what the driver writes, and the ids of the objects that it changes. */
export interface Batch<B> {
  readonly payload: B;
  readonly ids: readonly string[];
}

/**
 * A second stage for objects whose kernel form depends on many owners at once, such as a dispatch tree of chains.
 * Takes changes of what owners want, gives changes of kernel objects. Its state is a function of the set of objects put
 * in, whatever their order, and a change costs what it changes.
 */
export interface Arranger<O> {
  /** Whether an arranged object may hold parts of several owners' objects. */
  readonly mixes: boolean;
  arrange(changes: readonly Change<O>[]): readonly Change<O>[];
  /** Ids of the wanted objects that went into an arranged kernel object; empty for one that was passed through. */
  sources(id: string): readonly string[];
  /** Finds wishes in the kernel; costs what the kernel holds, once for many of them. Pure. */
  standing(have: ReadonlyMap<string, O>): Standing<O>;
}

/** Arranged wishes in the kernel: a wish has parts, and the kernel may hold some of them. */
export interface Standing<O> {
  /** How many parts of a wish the kernel holds as wished; undefined for a wish that is a kernel object itself. */
  count(wish: O): number | undefined;
  /**
   * One wish of all the parts of these wishes (of one id) that the kernel holds, as it holds them; and of all parts of
   * `filled`. Undefined where that is none.
   */
  merge(wishes: readonly O[], filled: O | undefined): O | undefined;
}

export interface Measure {
  /** Such as a table. */
  readonly of: string;
  readonly count: number;
}

/** What went through one kernel object since it was made; what a mode cannot know is not there. Bytes as on layer 3. */
export interface Counts {
  readonly connections?: number;
  /** From clients. */
  readonly packetsIn?: number;
  readonly bytesIn?: number;
  /** To clients. */
  readonly packetsOut?: number;
  readonly bytesOut?: number;
}

/** By object id. `isWhole`: nothing that the kernel counts is missing. */
export interface Traffic {
  readonly counts: ReadonlyMap<string, Counts>;
  readonly isWhole: boolean;
}

/** A record of functions: a wrapper is the record with some of them replaced. */
export interface Backend<O extends KernelObject, B> {
  readonly mode: string;
  /** About how many objects a first sync on an empty kernel puts into service at a time. */
  readonly groupSize: number;
  /** What the node needs whatever its Services. Pure. */
  base(node: NodeContext): Fragment<O>;
  /** What one service port needs. Pure, and a function of its arguments alone. */
  compile(service: ServiceEndpoints, node: NodeContext): Fragment<O>;
  /** A fresh arranger, where the backend needs one. */
  arranger?(): Arranger<O>;
  /**
   * Order and bounds: additions before removals, referenced objects before those that refer to them. Undefined stands for a
   * step on the way to the next batch, after which one may rest. Pure.
   */
  plan(changes: readonly Change<O>[]): Iterable<Batch<B> | undefined>;
  /** The object in the tool's own language. Pure. */
  format(object: O): string;
  /** How much of what metrics count an object is: so many rules of a table. Undefined for what they do not count. Pure. */
  measure?(object: O): Measure | undefined;
  /** Everything, tool by tool, with each section's title as a comment where the tool knows comments. Pure. */
  print(sections: readonly Section<O>[]): readonly Part[];
  /** The same in the tool's own JSON, where it has one. Pure. */
  printJson?(sections: readonly Section<O>[]): string;
  /** Throws Error, saying what is missing, where this host cannot do it. Without it a read tells. */
  check?(): void;
  /** What the kernel holds of ours, in listing form. Throws KernelError. */
  read(signal: AbortSignal): Promise<ReadonlyMap<string, O>>;
  /** Of what was read, what another proxy made that uses the same names, where that can be told. Pure. */
  madeByOther?(found: readonly O[]): readonly O[];
  /** The addresses and ports at which an object, as it was read, leads packets elsewhere; each may come more than once. Pure. */
  placesOf?(object: O): readonly Place[];
  /** Writes one batch, atomically where the kernel is. Idempotent. Throws KernelError. */
  apply(batch: Batch<B>, signal: AbortSignal): Promise<void>;
  /** What the kernel has counted; some of an owner's objects count. Beside reads and writes. Throws KernelError. */
  traffic?(signal: AbortSignal): Promise<Traffic>;
  /** Says when somebody else wrote to what is ours, where the kernel tells. */
  watch?(onChange: () => void): { stop(): void };
}

/**
 * A mode as one leaves it while connections still run through it. Its read gives what may go by now, so that leaving is
 * removing what is read, again and again until there is nothing.
 */
export interface Departing<O extends KernelObject, B> extends Backend<O, B> {
  /** Connections for which the last read left something out. */
  readonly awaited: number;
  /** Puts in place what the node needs besides as long as something is awaited. Throws KernelError. */
  shield(signal: AbortSignal): Promise<void>;
}

/**
 * A read or write that the kernel (or the tool in front of it) refused.
 *
 * `content`: the kernel does not like what it was given, so trying less of it may help. `environment`: nothing could have
 * been written just now (no tool, no permission, a lock held by others), so the same is worth trying again later.
 */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly scope: 'content' | 'environment';
  /** Ids of the objects that the kernel named, if it did. */
  readonly suspects: readonly string[];

  constructor(scope: 'content' | 'environment', message: string, suspects: readonly string[] = []) {
    super(message);
    this.scope = scope;
    this.suspects = suspects;
  }
}
