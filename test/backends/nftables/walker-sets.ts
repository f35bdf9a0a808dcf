/** A set or map as the packet walker looks into it: keys field by field, of which some are networks. */
import { cidrContains, parseCIDR } from '../../../src/model/address.ts';
import { keyOf } from '../../../src/nftables-json/elements.ts';
import type { Element, Expression, Verdict } from '../../../src/nftables-json/schema.ts';
import { formatExpression } from '../../../src/nftables-json/text.ts';

export interface Entry {
  readonly key: readonly string[];
  /** Undefined in a set. */
  readonly data: Expression | Verdict | undefined;
}

export class NftSet {
  readonly #exact = new Map<string, Entry>();
  /** Of networks, and of interfaces whose names begin alike. */
  readonly #ranged: Entry[] = [];

  static of(elements: readonly Element[]): NftSet {
    const set = new NftSet();
    set.add(elements);
    return set;
  }

  add(elements: readonly Element[]): void {
    for (const element of elements) {
      const key = keyOf(element);
      const bare: Expression = typeof key === 'object' && 'elem' in key ? key.elem.val : key;
      const parts = typeof bare === 'object' && 'concat' in bare ? bare.concat : [bare];
      const data = Array.isArray(element) ? (element as readonly [Expression, Expression | Verdict])[1] : undefined;
      const entry = { key: parts.map(formatExpression), data };
      if (entry.key.some(isRange)) this.#ranged.push(entry);
      else this.#exact.set(entry.key.join(' '), entry);
    }
  }

  find(value: readonly string[]): Entry | undefined {
    const exact = this.#exact.get(value.join(' '));
    return exact ?? this.#ranged.find(({ key }) => key.every((part, i) => contains(part, value[i] ?? '')));
  }
}

const isRange = (part: string): boolean => part.includes('/') || part.endsWith('*');

const contains = (part: string, value: string): boolean => {
  if (part.endsWith('*')) return value.startsWith(part.slice(0, -1));
  const cidr = part.includes('/') ? parseCIDR(part) : undefined;
  return cidr === undefined ? part === value : cidrContains(cidr, value);
};
