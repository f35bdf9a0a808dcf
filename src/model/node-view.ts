/** The node as each family's backend sees it: from its object, the machine and the networks of ClusterIPs. */
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
  /** The parts that it was made of. */
  readonly of: readonly unknown[];
}

const NONE: readonly string[] = [];

export class NodeView {
  readonly #options: NodeOptions;
  readonly #interfaceAddresses: (() => readonly string[]) | undefined;
  readonly #cidrs = new Map<string, readonly Cidr[]>();
  readonly #known = new Map<IPFamily, Known>();
  /** The Node object as it is now; undefined when there is none. */
  #read: NodeFacts | undefined;
  /** Facts of the Node object; of one that is gone those that it had at last. */
  #facts: NodeFacts | undefined;
  #cidrChanges = 0;

  /** `interfaceAddresses` as in TrackerOptions. */
  constructor(options: NodeOptions, interfaceAddresses: (() => readonly string[]) | undefined) {
    this.#options = options;
    this.#interfaceAddresses = interfaceAddresses;
  }

  /** The part of the Node object that is still awaited; undefined when none is. */
  awaited(): string | undefined {
    return factsAwaited(this.#options, this.#facts);
  }

  missing(): readonly Missing[] {
    return missingFacts(this.#options, this.#read, this.#facts);
  }

  /** The same object as long as it is the same. Made again only where a part changed: a node may have very many addresses. */
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

  /** False when there was none. */
  removeServiceCIDR(name: string): boolean {
    if (!this.#cidrs.delete(name)) return false;
    this.#cidrChanges += 1;
    return true;
  }

  /** False when nothing is otherwise than before, or it is another node. */
  putNode(facts: NodeFacts): boolean {
    if (facts.name !== this.#options.nodeName) return false;
    this.#read = facts;
    const known = withFormer(facts, this.#facts);
    if (isDeepStrictEqual(this.#facts, known)) return false;
    this.#facts = known;
    return true;
  }

  /** Its facts stay: the machine is still there (kube-proxy does the same). */
  removeNode(name: string): void {
    if (this.#read?.name === name) this.#read = undefined;
  }
}
