/** What iptables-save prints to this mode's objects: our chains and jumps, and of what we share the parts that are there. */
import type { IPFamily } from '../../model/address.ts';
import { FIREWALL, goesWithAddresses } from '../xtables/names.ts';
import { type Chain, chainOf, type Jump, type SharedChain, withoutComment } from '../xtables/objects.ts';
import { SaveParser } from '../xtables/parse.ts';
import { GUARDS } from './localhost.ts';

/** The line of a listing by which a shared object is known; a rule's comment is free text. */
const lineOf = (object: SharedChain | Jump): string =>
  object.kind === 'shared-chain' ? `:${object.name} -` : `-A ${object.chain} ${object.content}`;

const SHARED: ReadonlyMap<string, SharedChain | Jump> = new Map(
  GUARDS.map((object) => [`${object.table} ${lineOf(object)}`, object]),
);
/** Of a chain's line, and of a rule's where they were asked for. */
const COUNTERS = / ?\[\d+:\d+\] ?/;

export class Listing {
  readonly #ours = new SaveParser();
  readonly #shared = new Map<string, SharedChain | Jump>();
  /** IPv6 has no NodePorts on loopback: what the kubelet has there is none of our business. */
  readonly #looksForShared: boolean;
  #table = '';

  constructor(family: IPFamily) {
    this.#looksForShared = family === 'IPv4';
  }

  *objects(): Generator<Chain | Jump | SharedChain> {
    for (const object of this.#ours.objects.values())
      if (!goesWithAddresses(object.table, chainOf(object))) yield object;
    yield* this.#shared.values();
  }

  push(line: string): void {
    this.#ours.push(line);
    if (line.startsWith('*')) this.#table = line.slice(1);
    else if (this.#looksForShared && line.includes(FIREWALL)) this.#find(line);
  }

  #find(line: string): void {
    const found = SHARED.get(`${this.#table} ${withoutComment(line.replace(COUNTERS, ''))}`);
    if (found !== undefined) this.#shared.set(found.id, found);
  }
}
