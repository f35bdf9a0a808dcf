/** Node contexts by family, from the Node object, the machine's addresses and the networks of ClusterIPs. */
import { isDeepStrictEqual } from 'node:util';
import type { Cidr, IPFamily } from './address.ts';
import type { Missing } from './missing.ts';
import {
  factsAwaited,
  missingFacts,
  type NodeContext,
  type NodeFacts,
  type NodeOptions,
  nodeContext,
  withFormer,
} from './node.ts';
import { networksOf } from './service-cidr.ts';

interface Known {
  readonly node: NodeContext;
  /** Inputs of the context. */
  readonly of: readonly unknown[];
}

const NONE: readonly string[] = [];

export class NodeView {
  readonly #options: NodeOptions;
  readonly #interfaceAddresses: (() => readonly string[]) | undefined;
  readonly #cidrs = new Map<string, readonly Cidr[]>();
  readonly #known = new Map<IPFamily, Known>();
  /** Facts of the current Node object; undefined when there is none. */
  #read: NodeFacts | undefined;
  /** Facts in force: those of the Node object, completed by the last ones that it had. */
  #facts: NodeFacts | undefined;
  #cidrChanges = 0;

  /** `interfaceAddresses` as in TrackerOptions. */
  constructor(options: NodeOptions, interfaceAddresses: (() => readonly string[]) | undefined) {
    this.#options = options;
    this.#interfaceAddresses = interfaceAddresses;
  }

  /** Part of the Node object that is still awaited; undefined for none. */
  awaited(): string | undefined {
    return factsAwaited(this.#options, this.#facts);
  }

  missing(): readonly Missing[] {
    return missingFacts(this.#options, this.#read, this.#facts);
  }

  /** Node context of a family: the same object while it is equal. Compared only when an input changed: addresses may be many. */
  context(family: IPFamily): NodeContext {
    const addresses = this.#interfaceAddresses?.() ?? this.#facts?.addresses ?? NONE;
    const of = [this.#facts, addresses, this.#cidrChanges];
    const known = this.#known.get(family);
    if (known !== undefined && of.every((part, i) => part === known.of[i])) return known.node;
    const networks = networksOf(this.#cidrs.values(), family);
    const found = nodeContext(this.#options, this.#facts, family, addresses, networks);
    const node = isDeepStrictEqual(found, known?.node) && known !== undefined ? known.node : found;
    this.#known.set(family, { node, of });
    return node;
  }

  putServiceCIDR(name: string, cidrs: readonly Cidr[]): void {
    this.#cidrs.set(name, cidrs);
    this.#cidrChanges += 1;
  }

  /** Returns false when there was none. */
  removeServiceCIDR(name: string): boolean {
    if (!this.#cidrs.delete(name)) return false;
    this.#cidrChanges += 1;
    return true;
  }

  /** Returns false when no fact changed, or for another node. */
  putNode(facts: NodeFacts): boolean {
    if (facts.name !== this.#options.nodeName) return false;
    this.#read = facts;
    const known = withFormer(facts, this.#facts);
    if (isDeepStrictEqual(this.#facts, known)) return false;
    this.#facts = known;
    return true;
  }

  /** Forgets the Node object; its facts stay in force, as in kube-proxy, since the machine is still there. */
  removeNode(name: string): void {
    if (this.#read?.name === name) this.#read = undefined;
  }
}
