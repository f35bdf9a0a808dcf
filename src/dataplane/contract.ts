/**
 * The contract between the engine and a backend.
 *
 * A backend is a pure compiler from one resolved service port to kernel objects, plus a driver that reads and writes
 * them. The engine does the rest by `diff(have, want)`: start-up, events, audits, clean-up and dumps are the same call
 * with other arguments, so a backend has no delete, start-up or clean-up logic of its own.
 */
import type { AddressPort } from '../model/frontend.ts';
import type { NodeContext } from '../model/node.ts';
import type { ServiceEndpoints } from '../model/topology.ts';

export interface KernelObject {
  /** The backend's own closed union: `chain`, `element`, `virtual-server` … */
  readonly kind: string;
  /** Identity in the kernel. */
  readonly id: string;
  /** Content in the form in which the kernel lists it: equal text means equal object. */
  readonly content: string;
  /** Settings that are made and never taken back, as other programs may rely on them. */
  readonly stays?: true;
  /** Objects that are about to go by themselves: neither their absence nor their presence is a difference. */
  readonly leaves?: true;
}

/** The kernel objects that one owner wants. */
export interface Fragment<O> {
  readonly owner: string;
  readonly objects: readonly O[];
  /** Creation of the owner, milliseconds since 1970: of two wishes for one object the older owner's is granted. */
  readonly since: number;
  /** Notes for people about parts of the Service that are not served. */
  readonly notes?: readonly string[];
}

export type Change<O> =
  | { readonly op: 'add'; readonly object: O }
  | { readonly op: 'replace'; readonly object: O; readonly previous: O }
  | { readonly op: 'remove'; readonly object: O };

/** Objects printed under one heading: an owner's, or those that several owners share. */
export interface Section<O> {
  readonly title: string;
  readonly objects: readonly O[];
}

/** Complete input of one tool. */
export interface ToolInput {
  readonly tool: string;
  readonly text: string;
}

/** One kernel transaction: the driver's payload, and the ids of the objects that it changes. */
export interface Batch<B> {
  readonly payload: B;
  readonly ids: readonly string[];
}

/**
 * A second stage for objects whose kernel form depends on many owners at once, such as a dispatch tree of chains: changes
 * of wanted objects in, changes of kernel objects out. Its state is a function of the set of objects put in, whatever their
 * order. A change costs what it changes.
 */
export interface Arranger<O> {
  /** True where an arranged object may hold parts of several owners' objects. */
  readonly mixes: boolean;
  arrange(changes: readonly Change<O>[]): readonly Change<O>[];
  /** Ids of the wanted objects that went into an arranged kernel object; empty for one that was passed through. */
  sources(id: string): readonly string[];
  /** Index of the wishes in the kernel. Costs what the kernel holds, once for many wishes. Pure. */
  standing(have: ReadonlyMap<string, O>): Standing<O>;
}

/** Arranged wishes in the kernel: a wish has parts, and the kernel may hold some of them. */
export interface Standing<O> {
  /** Number of parts of a wish that the kernel holds as wished; undefined for a wish that is a kernel object itself. */
  count(wish: O): number | undefined;
  /**
   * One wish that has all parts of these wishes (of one id) that the kernel holds, as it holds them, and all parts of
   * `filled`. Undefined when it has no part.
   */
  merge(wishes: readonly O[], filled: O | undefined): O | undefined;
}

export interface Measure {
  /** Label of the count, such as a table. */
  readonly of: string;
  readonly count: number;
}

/** Traffic of one kernel object since it was made; counts that the mode cannot know are absent. Bytes from the IP header on. */
export interface TrafficCounts {
  readonly connections?: number;
  /** From clients. */
  readonly packetsIn?: number;
  readonly bytesIn?: number;
  /** To clients. */
  readonly packetsOut?: number;
  readonly bytesOut?: number;
}

/** Counts by object id. `isWhole`: no object that the kernel counts is missing. */
export interface ObjectTraffic {
  readonly counts: ReadonlyMap<string, TrafficCounts>;
  readonly isWhole: boolean;
}

/** A record of functions: a wrapper is the record with some of them replaced. */
export interface Backend<O extends KernelObject, B> {
  readonly mode: string;
  /** Objects (about) that a first sync on an empty kernel puts into service at a time. */
  readonly groupSize: number;
  /** Objects that the node needs whatever its Services. Pure. */
  base(node: NodeContext): Fragment<O>;
  /** Objects that one service port needs. Pure. */
  compile(service: ServiceEndpoints, node: NodeContext): Fragment<O>;
  /** A fresh arranger, where the backend needs one. */
  arranger?(): Arranger<O>;
  /**
   * Bounded batches in order: additions before removals, referenced objects before those that refer to them. Undefined is a
   * step on the way to the next batch, after which the caller may rest. Pure.
   */
  plan(changes: readonly Change<O>[]): Iterable<Batch<B> | undefined>;
  /** The object in the tool's own language. Pure. */
  format(object: O): string;
  /** Measure of an object for metrics: so many rules of a table. Undefined for an object that is not counted. Pure. */
  measure?(object: O): Measure | undefined;
  /** Text of all sections, tool by tool, with titles as comments where the tool knows comments. Pure. */
  print(sections: readonly Section<O>[]): readonly ToolInput[];
  /** Text of all sections in the tool's JSON, where it has one. Pure. */
  printJson?(sections: readonly Section<O>[]): string;
  /** Checks the host. Throws Error naming what is missing. Without it the first read finds out. */
  check?(): void;
  /** Objects of ours in the kernel by id, in listing form. Throws KernelError. */
  read(signal: AbortSignal): Promise<ReadonlyMap<string, O>>;
  /** Milliseconds that the last read took, for a backend whose reads may wait for others' first. */
  readMs?(): number;
  /** Objects, of those read, that another proxy made under the same names, where the two can be told apart. Pure. */
  madeByOther?(found: readonly O[]): readonly O[];
  /** Frontends at which an object, as it was read, sends packets elsewhere; each may come more than once. Pure. */
  addressPortsOf?(object: O): readonly AddressPort[];
  /** Writes one batch, atomically where the kernel is. Idempotent. Throws KernelError. */
  apply(batch: Batch<B>, signal: AbortSignal): Promise<void>;
  /** Traffic that the kernel has counted, at some of an owner's objects. May run beside reads and writes. Throws KernelError. */
  traffic?(signal: AbortSignal): Promise<ObjectTraffic>;
  /** Subscribes to writes of other programs to our objects, where the kernel reports them. */
  watch?(onChange: () => void): { stop(): void };
}

/**
 * A mode that is left while connections still run through it. Its read returns the objects that may go by now, so leaving is
 * to remove what was read, again and again until nothing is read.
 */
export interface Departing<O extends KernelObject, B> extends Backend<O, B> {
  /** Connections for which the last read left objects out. */
  readonly awaited: number;
  /** Installs what the node needs besides while connections are awaited. Throws KernelError. */
  shield(signal: AbortSignal): Promise<void>;
}

/**
 * Refusal of a read or write by the kernel, or by the tool in front of it.
 *
 * `content`: the kernel refuses what it was given, so a part of it may succeed. `environment`: nothing can be written now
 * (no tool, no permission, a lock held by others), so the same may succeed later.
 */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly scope: 'content' | 'environment';
  /** Ids of the objects that the kernel named; empty when it named none. */
  readonly suspects: readonly string[];

  constructor(scope: 'content' | 'environment', message: string, suspects: readonly string[] = []) {
    super(message);
    this.scope = scope;
    this.suspects = suspects;
  }
}
