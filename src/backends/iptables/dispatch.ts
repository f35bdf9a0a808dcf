/**
 * Dispatch chains as trees of small chains, so that a packet passes tens of rules, not thousands.
 *
 * Keys are the destination in quaternary digits: address, protocol, port. Up to 50 lines a dispatch chain is flat, as
 * kube-proxy's. With more lines it branches by destination prefix. Chains of the tree are named KUBE-SVC-10.96.0.0/14 and
 * the like: kube-proxy takes the prefix for its own and removes them when it takes the node back.
 *
 * With 10,000 Services a packet passes at most four rules on each of about six levels and eight in the last chain.
 */
import type { Arranger, Change, Standing } from '../../dataplane/contract.ts';
import { formatBytes, ipBytes } from '../../model/address.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import { PROXY_FIREWALL, SERVICES, type TableName } from '../xtables/names.ts';
import { chain, chainId } from '../xtables/objects.ts';
import { rule, TO_LOCAL } from '../xtables/rule.ts';
import { EXTERNAL_SERVICES, hash16, NODEPORTS } from './names.ts';
import {
  type DesiredIptablesObject,
  type DispatchChain,
  type DispatchLine,
  type FrontendLines,
  frontendLines,
  type PacketDestination,
} from './objects.ts';
import { Trie, type TriePage } from './trie.ts';

const ROOT_LINES = 50;
const LEAF_LINES = 8;
const BITS_PER_DIGIT = 2;
const PORT_DIGITS = 16 / BITS_PER_DIGIT;
const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
/** Characters behind a prefix of nine: xtables chain names hold 28. */
const MAX_LABEL = 19;

/** Prefix of the names of a tree's chains, by dispatch chain. Unique within a table. */
const TREE_PREFIX: Readonly<Record<TableName, Readonly<Record<string, string>>>> = {
  nat: { [SERVICES]: 'KUBE-SVC-', [NODEPORTS]: 'KUBE-EXT-' },
  filter: {
    [SERVICES]: 'KUBE-SVC-',
    [EXTERNAL_SERVICES]: 'KUBE-EXT-',
    [PROXY_FIREWALL]: 'KUBE-FW-',
    [NODEPORTS]: 'KUBE-SVL-',
  },
  mangle: {},
};

interface DispatchEntry {
  readonly line: DispatchLine;
  /** Id of the frontend that the line belongs to. */
  readonly source: string;
}

/** The tree of one dispatch chain: lines for an address and port, and lines for a port on any address of the node. */
interface Tree {
  readonly table: TableName;
  readonly chain: string;
  readonly byAddress: Trie<DispatchEntry>;
  readonly byPort: Trie<DispatchEntry>;
  /** Rules of the two first pages. With those of the trunk they are the dispatch chain itself. */
  addressRules: readonly string[];
  portRules: readonly string[];
  trunk: DispatchChain | undefined;
}

const digits = (value: number, count: number): string => value.toString(4).padStart(count, '0');

/** Key of a destination: four digits a byte of address, one for the protocol, eight for the port. */
export const keyOf = ({ ip, protocol, port }: PacketDestination): string => {
  const address =
    ip === undefined
      ? ''
      : ipBytes(ip)
          .map((byte) => digits(byte, 4))
          .join('');
  return `${address}${PROTOCOLS.indexOf(protocol)}${digits(port, PORT_DIGITS)}`;
};

const linesOf = (wish: DesiredIptablesObject | undefined): readonly DispatchLine[] =>
  wish?.kind === 'frontend' ? wish.lines : [];

/** Key of a line's place: a tree holds one line for each destination. */
const placeOf = ({ table, chain: name, to }: DispatchLine): string => `${table} ${name} ${keyOf(to)}`;

interface DestinationPrefix {
  /** CIDR, if a digit of the address is fixed. */
  readonly destination: string | undefined;
  readonly protocol: Protocol | undefined;
  /** `low:high`, if a digit of the port is fixed. */
  readonly ports: string | undefined;
}

/** Prefix that all keys with this label share. */
const prefixOf = (label: string, addressDigits: number): DestinationPrefix => {
  const address = label.slice(0, addressDigits);
  const protocol = PROTOCOLS[Number(label.charAt(addressDigits) || Number.NaN)];
  const port = label.slice(addressDigits + 1);
  return {
    destination: addressDigits === 0 ? undefined : cidrOf(address, addressDigits),
    protocol,
    ports: port === '' ? undefined : rangeOf(port),
  };
};

const cidrOf = (label: string, addressDigits: number): string => {
  const padded = label.padEnd(addressDigits, '0');
  const bytes = Array.from({ length: addressDigits / 4 }, (_, i) => Number.parseInt(padded.slice(i * 4, i * 4 + 4), 4));
  return `${formatBytes(bytes)}/${label.length * BITS_PER_DIGIT}`;
};

const rangeOf = (label: string): string => {
  const low = Number.parseInt(label.padEnd(PORT_DIGITS, '0'), 4);
  const high = Number.parseInt(label.padEnd(PORT_DIGITS, '3'), 4);
  return low === high ? String(low) : `${low}:${high}`;
};

const nameOf = (tree: Tree, label: string, addressDigits: number): string => {
  const { destination, protocol, ports } = prefixOf(label, addressDigits);
  const text = [destination, protocol?.toLowerCase(), ports?.replace(':', '-')].filter((part) => part !== undefined);
  const readable = text.join('.');
  const prefix = TREE_PREFIX[tree.table][tree.chain] ?? 'KUBE-SVC-';
  // `by-` tells a tree's chain from a Service's, whose name ends in a bare hash: plan.ts orders them differently
  return prefix + (readable.length <= MAX_LABEL ? readable : `by-${hash16(readable)}`);
};

export class Dispatch implements Arranger<DesiredIptablesObject> {
  readonly mixes = true;
  readonly #trees = new Map<string, Tree>();
  readonly #addressDigits: number;
  /** Pages of a chain, by chain id. */
  readonly #pages = new Map<string, readonly { readonly trie: Trie<DispatchEntry>; readonly label: string }[]>();

  constructor(addressBits: 32 | 128) {
    this.#addressDigits = addressBits / BITS_PER_DIGIT;
  }

  arrange(changes: readonly Change<DesiredIptablesObject>[]): readonly Change<DesiredIptablesObject>[] {
    const passed: Change<DesiredIptablesObject>[] = [];
    const touched = new Set<Tree>();
    for (const change of changes) {
      const { object } = change;
      if (object.kind === 'trunk') touched.add(this.#setTrunk(object, change.op === 'remove'));
      else if (object.kind === 'frontend') {
        const former = change.op === 'replace' ? (change.previous as FrontendLines) : undefined;
        for (const tree of this.#setLines(object, former, change.op === 'remove')) touched.add(tree);
      } else passed.push(change);
    }
    return [...passed, ...[...touched].flatMap((tree) => this.#flush(tree))];
  }

  sources(id: string): readonly string[] {
    const entries = (this.#pages.get(id) ?? []).flatMap(({ trie, label }) => trie.entriesOf(label));
    return [...new Set(entries.map(({ source }) => source))];
  }

  standing(have: ReadonlyMap<string, DesiredIptablesObject>): Standing<DesiredIptablesObject> {
    const rules = new Set<string>();
    for (const object of have.values()) {
      if (object.kind === 'chain') for (const text of object.rules) rules.add(`${object.table} ${text}`);
    }
    const isThere = (line: DispatchLine): boolean => rules.has(`${line.table} ${line.rule}`);
    return {
      count: (wish) => {
        if (wish.kind === 'trunk') return 0;
        return wish.kind === 'frontend' ? wish.lines.filter(isThere).length : undefined;
      },
      merge: (wishes, filled) => {
        const lines = new Map<string, DispatchLine>(linesOf(filled).map((line) => [placeOf(line), line]));
        for (const line of wishes.flatMap(linesOf)) if (isThere(line)) lines.set(placeOf(line), line);
        return lines.size === 0 ? undefined : frontendLines(wishes[0]?.id ?? '', [...lines.values()]);
      },
    };
  }

  #tree(table: TableName, name: string): Tree {
    const id = chainId(table, name);
    const known = this.#trees.get(id);
    if (known !== undefined) return known;
    const trie = (): Trie<DispatchEntry> => new Trie<DispatchEntry>(ROOT_LINES, LEAF_LINES);
    const tree = {
      table,
      chain: name,
      byAddress: trie(),
      byPort: trie(),
      addressRules: [],
      portRules: [],
      trunk: undefined,
    };
    this.#trees.set(id, tree);
    this.#pages.set(
      id,
      [tree.byAddress, tree.byPort].map((of) => ({ trie: of, label: '' })),
    );
    return tree;
  }

  #setTrunk(trunk: DispatchChain, isRemoved: boolean): Tree {
    const tree = this.#tree(trunk.table, trunk.chain);
    tree.trunk = isRemoved ? undefined : trunk;
    return tree;
  }

  #setLines(object: FrontendLines, former: FrontendLines | undefined, isRemoved: boolean): readonly Tree[] {
    const touched: Tree[] = [];
    for (const line of [...(former?.lines ?? []), ...(isRemoved ? object.lines : [])]) {
      const tree = this.#tree(line.table, line.chain);
      (line.to.ip === undefined ? tree.byPort : tree.byAddress).delete(keyOf(line.to));
      touched.push(tree);
    }
    for (const line of isRemoved ? [] : object.lines) {
      const tree = this.#tree(line.table, line.chain);
      (line.to.ip === undefined ? tree.byPort : tree.byAddress).set(keyOf(line.to), { line, source: object.id });
      touched.push(tree);
    }
    return touched;
  }

  #flush(tree: Tree): readonly Change<DesiredIptablesObject>[] {
    const changes: Change<DesiredIptablesObject>[] = [];
    tree.addressRules = this.#flushTrie(tree, tree.byAddress, this.#addressDigits, changes) ?? tree.addressRules;
    tree.portRules = this.#flushTrie(tree, tree.byPort, 0, changes) ?? tree.portRules;
    const rules = [...tree.addressRules, ...tree.portRules, ...(tree.trunk?.rules ?? [])];
    const itself = chain(tree.table, tree.chain, rules);
    const isGone = tree.trunk === undefined && rules.length === 0;
    // `add` also stands for a change of content: the engine compares with the kernel's
    return [...changes, { op: isGone ? 'remove' : 'add', object: itself }];
  }

  /** Adds the changes of a trie's chains to `changes`. Returns the rules of its first page if that page changed. */
  #flushTrie(
    tree: Tree,
    trie: Trie<DispatchEntry>,
    addressDigits: number,
    changes: Change<DesiredIptablesObject>[],
  ): readonly string[] | undefined {
    const { written, dropped } = trie.flush();
    let root: readonly string[] | undefined;
    for (const page of written) {
      const rules = this.#rules(tree, page, addressDigits);
      if (page.label === '') root = rules;
      else {
        const object = chain(tree.table, nameOf(tree, page.label, addressDigits), rules);
        this.#pages.set(object.id, [{ trie, label: page.label }]);
        changes.push({ op: 'add', object });
      }
    }
    for (const label of dropped) {
      const object = chain(tree.table, nameOf(tree, label, addressDigits), []);
      this.#pages.delete(object.id);
      changes.push({ op: 'remove', object });
    }
    return root;
  }

  #rules(tree: Tree, page: TriePage<DispatchEntry>, addressDigits: number): readonly string[] {
    if ('entries' in page) return page.entries.map(({ line }) => line.rule);
    return page.items.map((item) =>
      'entry' in item ? item.entry.line.rule : this.#branch(tree, item.page, addressDigits),
    );
  }

  #branch(tree: Tree, label: string, addressDigits: number): string {
    const { destination, protocol, ports } = prefixOf(label, addressDigits);
    const local = destination === undefined && tree.chain === EXTERNAL_SERVICES ? { matches: [TO_LOCAL] } : {};
    const match = {
      ...(destination === undefined ? {} : { destination }),
      ...(protocol === undefined ? {} : { protocol }),
      ...(ports === undefined ? {} : { port: ports }),
      ...local,
    };
    return rule(match, nameOf(tree, label, addressDigits));
  }
}
