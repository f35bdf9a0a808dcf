/**
 * Path-compressed trie over keys of equal length, laid out as small lists ("pages"): the layout of a dispatch chain. Knows
 * nothing of rules.
 *
 * A page holds either entries or references to pages below. The first page splits beyond `rootCapacity` entries, any other
 * beyond `capacity`. A split page holds one item for each of the (at most four) digits in which its entries differ first.
 * The layout depends on the set of entries alone, not on their order of insertion. A new entry changes one page, rarely two
 * or three.
 */

export type TriePage<T> =
  | { readonly label: string; readonly entries: readonly T[] }
  | { readonly label: string; readonly items: readonly PageItem<T>[] };

/** An entry that is alone under its digit, or the label of the page that holds several. */
export type PageItem<T> = { readonly entry: T } | { readonly page: string };

interface Node<T> {
  /** Digits that all keys below share. The whole key for a leaf. */
  prefix: string;
  count: number;
  entry: T | undefined;
  readonly children: Map<string, Node<T>>;
  /** Label of the page that begins at this node, if any. */
  label: string | undefined;
  dirty: boolean;
}

export interface TrieChanges<T> {
  readonly written: readonly TriePage<T>[];
  /** Labels of removed pages. */
  readonly dropped: readonly string[];
}

const ROOT = '';

export class Trie<T> {
  readonly #capacity: number;
  readonly #rootCapacity: number;
  readonly #labels = new Map<string, Node<T>>();
  #root: Node<T> | undefined;
  /** Labels that the next layout may remove. */
  #stale = new Set<string>();
  #changed = false;

  constructor(rootCapacity: number, capacity: number) {
    this.#rootCapacity = rootCapacity;
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#root?.count ?? 0;
  }

  /** Sets the entry of a key, replacing a former one. */
  set(key: string, entry: T): void {
    this.#changed = true;
    if (this.#root === undefined) this.#root = leaf(key, entry);
    else this.#root = this.#insert(this.#root, key, entry);
  }

  delete(key: string): void {
    this.#changed = true;
    if (this.#root !== undefined) this.#root = this.#remove(this.#root, key);
  }

  /** Lays out pages that changed since the last call. The first page always exists, and its label is empty. */
  flush(): TrieChanges<T> {
    if (!this.#changed) return { written: [], dropped: [] };
    const written: TriePage<T>[] = [];
    const stale = this.#stale;
    this.#stale = new Set();
    this.#changed = false;
    if (this.#root === undefined) written.push({ label: ROOT, entries: [] });
    else this.#layOut(this.#root, ROOT, written, stale);
    for (const { label } of written) stale.delete(label);
    const dropped = [...stale].filter((label) => label !== ROOT);
    for (const label of dropped) this.#labels.delete(label);
    return { written, dropped };
  }

  /** Entries in the page itself, without those of pages below. */
  entriesOf(label: string): readonly T[] {
    const node = label === ROOT ? this.#root : this.#labels.get(label);
    if (node === undefined) return [];
    const items = this.#page(node, label);
    return 'entries' in items ? items.entries : items.items.flatMap((item) => ('entry' in item ? [item.entry] : []));
  }

  #insert(node: Node<T>, key: string, entry: T): Node<T> {
    this.#touch(node);
    const shared = sharedLength(node.prefix, key);
    if (shared < node.prefix.length) {
      const fork = branch(key.slice(0, shared), [node, leaf(key, entry)]);
      fork.dirty = true;
      return fork;
    }
    if (shared === key.length) {
      node.entry = entry;
      return node;
    }
    const digit = key.charAt(shared);
    const child = node.children.get(digit);
    node.children.set(digit, child === undefined ? leaf(key, entry) : this.#insert(child, key, entry));
    node.count = countOf(node);
    return node;
  }

  #remove(node: Node<T>, key: string): Node<T> | undefined {
    if (!key.startsWith(node.prefix)) return node;
    this.#touch(node);
    if (node.prefix === key) return undefined;
    const digit = key.charAt(node.prefix.length);
    const child = node.children.get(digit);
    if (child === undefined) return node;
    const left = this.#remove(child, key);
    if (left === undefined) node.children.delete(digit);
    else node.children.set(digit, left);
    const [only, second] = node.children.values();
    if (only !== undefined && second === undefined) {
      this.#touch(only); // the child takes this node's place, and with it another label
      return only;
    }
    node.count = countOf(node);
    return node;
  }

  #touch(node: Node<T>): void {
    node.dirty = true;
    if (node.label !== undefined) this.#stale.add(node.label);
  }

  #layOut(node: Node<T>, label: string, written: TriePage<T>[], stale: Set<string>): void {
    node.dirty = false;
    node.label = label;
    this.#labels.set(label, node);
    const page = this.#page(node, label);
    written.push(page);
    if ('entries' in page) {
      for (const child of node.children.values()) dropLabels(child, stale);
      return;
    }
    for (const [digit, child] of node.children) {
      const below = node.prefix + digit;
      if (child.count === 1) dropLabels(child, stale);
      else if (child.dirty || child.label !== below) this.#layOut(child, below, written, stale);
    }
  }

  #page(node: Node<T>, label: string): TriePage<T> {
    const capacity = label === ROOT ? this.#rootCapacity : this.#capacity;
    if (node.count <= capacity || node.children.size === 0) return { label, entries: [...entriesBelow(node)] };
    const digits = [...node.children].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      label,
      items: digits.map(([digit, child]) =>
        child.entry === undefined ? { page: node.prefix + digit } : { entry: child.entry },
      ),
    };
  }
}

const leaf = <T>(key: string, entry: T): Node<T> => ({
  prefix: key,
  count: 1,
  entry,
  children: new Map(),
  label: undefined,
  dirty: true,
});

const branch = <T>(prefix: string, children: readonly Node<T>[]): Node<T> => {
  const node: Node<T> = {
    prefix,
    count: 0,
    entry: undefined,
    children: new Map(children.map((child) => [child.prefix.charAt(prefix.length), child])),
    label: undefined,
    dirty: true,
  };
  node.count = countOf(node);
  return node;
};

const countOf = <T>(node: Node<T>): number => [...node.children.values()].reduce((sum, child) => sum + child.count, 0);

const sharedLength = (a: string, b: string): number => {
  let i = 0;
  while (i < a.length && a.charCodeAt(i) === b.charCodeAt(i)) i += 1;
  return i;
};

function* entriesBelow<T>(node: Node<T>): Generator<T> {
  if (node.entry !== undefined) yield node.entry;
  for (const [, child] of [...node.children].sort(([a], [b]) => (a < b ? -1 : 1))) yield* entriesBelow(child);
}

/** Removes the pages below a page that holds its entries itself. */
const dropLabels = <T>(node: Node<T>, stale: Set<string>): void => {
  if (node.label !== undefined) stale.add(node.label);
  node.label = undefined;
  for (const child of node.children.values()) dropLabels(child, stale);
};
