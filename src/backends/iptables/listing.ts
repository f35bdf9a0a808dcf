/** Parses iptables-save output to the objects of this mode: chains and jumps of ours, and the shared ones that are there. */
import type { IPFamily } from '../../model/address.ts';
import { FIREWALL, isNeededByAddresses } from '../xtables/names.ts';
import { chainOf, type Jump, type SharedChain, withoutComment, type XtablesChain } from '../xtables/objects.ts';
import { SaveParser } from '../xtables/parse.ts';
import { GUARDS } from './localhost.ts';

/** Listed line of a shared object, without the comment of a rule. */
const lineOf = (object: SharedChain | Jump): string =>
  object.kind === 'shared-chain' ? `:${object.name} -` : `-A ${object.chain} ${object.content}`;

const SHARED: ReadonlyMap<string, SharedChain | Jump> = new Map(
  GUARDS.map((object) => [`${object.table} ${lineOf(object)}`, object]),
);
/** Counters of a chain's line, and of a rule's line in a listing with counters. */
const COUNTERS = / ?\[\d+:\d+\] ?/;

export class IptablesListing {
  readonly #ours = new SaveParser();
  readonly #shared = new Map<string, SharedChain | Jump>();
  /** False for IPv6, which has no NodePorts on loopback: the kubelet's chain is not shared there. */
  readonly #looksForShared: boolean;
  #table = '';

  constructor(family: IPFamily) {
    this.#looksForShared = family === 'IPv4';
  }

  *objects(): Generator<XtablesChain | Jump | SharedChain> {
    for (const object of this.#ours.objects.values())
      if (!isNeededByAddresses(object.table, chainOf(object))) yield object;
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
