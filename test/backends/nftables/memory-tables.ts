/**
 * The tables of nf_tables in memory: takes the messages of a transaction one by one, and refuses what a kernel refuses
 * (net/netfilter/nf_tables_api.c). What a message says is kept in the bytes in which it came.
 */
import { type Attributes, decode, decodeList, getBe32, getText } from '../../../src/netlink/attributes.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { FLAG, type Message } from '../../../src/netlink/message.ts';
import {
  CHAIN,
  DESCRIPTION,
  ELEMENTS,
  LIST_ELEMENT,
  MESSAGE,
  RULE,
  SET,
  SET_FLAG,
  TABLE,
  VERDICT_TYPE,
} from '../../../src/nftables-json/messages.ts';
import { type ElementState, hasFlag, idOf, overlap, parseElement } from './memory-elements.ts';
import { Journal } from './memory-journal.ts';
import { parseRule, type RuleState, validate } from './memory-rules.ts';

export interface ChainState {
  readonly attributes: Attributes;
  readonly rules: readonly RuleState[];
}

export interface SetState {
  readonly attributes: Attributes;
  readonly elements: Map<string, ElementState>;
  /** Chains that its verdicts lead to, and how many do. */
  readonly targets: Map<string, number>;
}

export interface TableState {
  readonly family: number;
  readonly name: string;
  readonly chains: Map<string, ChainState>;
  readonly sets: Map<string, SetState>;
  /** How many rules and verdicts refer to each chain, and how many rules to each set. */
  readonly chainUses: Map<string, number>;
  readonly setUses: Map<string, number>;
}

/** The table's name is the first attribute of every message. */
export const tableNameIn = (body: Buffer): string => getText(decode(body.subarray(4)), TABLE.NAME);
const keyOf = (body: Buffer): string => `${body[0]} ${tableNameIn(body)}`;

export class Tables {
  readonly tables = new Map<string, TableState>();
  /** Chains are not let go of yet: older kernels keep them for a moment after their last use. */
  keepsChains = false;
  readonly #journal = new Journal();

  /** Carries out one message; gives an errno, 0 for yes. */
  take({ type, flags, body }: Message): number {
    const attributes = decode(body.subarray(4));
    const table = this.tables.get(keyOf(body));
    const number = type & 0xff;
    if (number === MESSAGE.NEW_TABLE) return table === undefined ? this.#newTable(body) : 0;
    if (table === undefined) return ERRNO.ENOENT;
    switch (number) {
      case MESSAGE.DELETE_TABLE:
        this.#journal.delete(this.tables, keyOf(body));
        return 0;
      case MESSAGE.NEW_CHAIN:
        return this.#newChain(table, attributes);
      case MESSAGE.DELETE_CHAIN:
        return this.#deleteChain(table, getText(attributes, CHAIN.NAME));
      case MESSAGE.NEW_RULE:
        return this.#newRule(table, attributes);
      case MESSAGE.DELETE_RULE:
        return this.#flush(table, getText(attributes, RULE.CHAIN));
      case MESSAGE.NEW_SET:
        return this.#newSet(table, attributes);
      case MESSAGE.DELETE_SET:
        return this.#deleteSet(table, getText(attributes, SET.NAME));
      case MESSAGE.NEW_ELEMENT:
      case MESSAGE.DELETE_ELEMENT:
        return this.#elements(table, attributes, number === MESSAGE.NEW_ELEMENT, (flags & FLAG.EXCL) !== 0);
      default:
        return ERRNO.EINVAL;
    }
  }

  /** Looks at everything at the end of a transaction; gives an errno. */
  validate(): number {
    for (const table of this.tables.values()) {
      const errno = validate(table);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  commit(): void {
    this.#journal.commit();
  }

  rollback(): void {
    this.#journal.rollback();
  }

  #newTable(body: Buffer): number {
    this.#journal.set(this.tables, keyOf(body), {
      family: body[0] ?? 0,
      name: tableNameIn(body),
      chains: new Map(),
      sets: new Map(),
      chainUses: new Map(),
      setUses: new Map(),
    });
    return 0;
  }

  #newChain({ chains }: TableState, attributes: Attributes): number {
    const name = getText(attributes, CHAIN.NAME);
    const known = chains.get(name);
    const hook = attributes.get(CHAIN.HOOK);
    if (known !== undefined && hook === undefined) return 0;
    if (known !== undefined) {
      const former = known.attributes.get(CHAIN.HOOK);
      const isSame = former?.equals(hook ?? former) && sameBytes(known.attributes, attributes, CHAIN.TYPE);
      if (!isSame) return ERRNO.EEXIST;
    }
    this.#journal.set(chains, name, { attributes, rules: known?.rules ?? [] });
    return 0;
  }

  #deleteChain(table: TableState, name: string): number {
    const errno = this.#flush(table, name);
    if (errno !== 0) return errno;
    if (this.keepsChains || (table.chainUses.get(name) ?? 0) > 0) return ERRNO.EBUSY;
    this.#journal.delete(table.chains, name);
    return 0;
  }

  #newRule(table: TableState, attributes: Attributes): number {
    const name = getText(attributes, RULE.CHAIN);
    const chain = table.chains.get(name);
    if (chain === undefined) return ERRNO.ENOENT;
    const rule = parseRule(attributes.get(RULE.EXPRESSIONS) ?? Buffer.alloc(0));
    const errno = checkRule(table, rule);
    if (errno !== 0) return errno;
    this.#countUses(table, rule, 1);
    this.#journal.set(table.chains, name, { ...chain, rules: [...chain.rules, rule] });
    return 0;
  }

  #flush(table: TableState, name: string): number {
    const chain = table.chains.get(name);
    if (chain === undefined) return ERRNO.ENOENT;
    for (const rule of chain.rules) this.#countUses(table, rule, -1);
    this.#journal.set(table.chains, name, { ...chain, rules: [] });
    return 0;
  }

  #countUses(table: TableState, { chains, lookups, updates }: RuleState, by: number): void {
    for (const chain of chains) this.#journal.count(table.chainUses, chain, by);
    for (const { set } of [...lookups, ...updates]) this.#journal.count(table.setUses, set, by);
  }

  #newSet({ sets }: TableState, attributes: Attributes): number {
    const name = getText(attributes, SET.NAME);
    const known = sets.get(name);
    if (known !== undefined)
      return SHAPE.every((type) => sameBytes(known.attributes, attributes, type)) ? 0 : ERRNO.EEXIST;
    this.#journal.set(sets, name, { attributes, elements: new Map(), targets: new Map() });
    return 0;
  }

  #deleteSet(table: TableState, name: string): number {
    const set = table.sets.get(name);
    if (set === undefined) return ERRNO.ENOENT;
    if ((table.setUses.get(name) ?? 0) > 0) return ERRNO.EBUSY;
    for (const [chain, uses] of set.targets) this.#journal.count(table.chainUses, chain, -uses);
    this.#journal.delete(table.sets, name);
    return 0;
  }

  #elements(table: TableState, attributes: Attributes, isAddition: boolean, isExclusive: boolean): number {
    const set = table.sets.get(getText(attributes, ELEMENTS.SET));
    if (set === undefined) return ERRNO.ENOENT;
    const list = attributes.get(ELEMENTS.LIST);
    if (list === undefined) {
      for (const element of [...set.elements.values()]) this.#deleteElement(table, set, element);
      return 0;
    }
    for (const [type, content] of decodeList(list)) {
      const element = type === LIST_ELEMENT ? parseElement(set.attributes, content, !isAddition) : ERRNO.EINVAL;
      if (typeof element === 'number') return element;
      const errno = isAddition
        ? this.#newElement(table, set, element, isExclusive)
        : this.#deleteElement(table, set, element);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  /** What is there with the same data stays as it is, comment and all. */
  #newElement(table: TableState, set: SetState, element: ElementState, isExclusive: boolean): number {
    const known = set.elements.get(idOf(element));
    if (known !== undefined) return isExclusive || !sameData(known, element) ? ERRNO.EEXIST : 0;
    const { attributes } = set;
    const others = hasFlag(attributes, SET_FLAG.INTERVAL) ? [...set.elements.values()] : [];
    if (others.some((other) => overlap(attributes, other, element))) return ERRNO.EEXIST;
    const size = getBe32(decode(attributes.get(SET.DESCRIPTION) ?? Buffer.alloc(0)), DESCRIPTION.SIZE);
    if (size > 0 && set.elements.size >= size) return ERRNO.ENFILE;
    const { target } = element;
    if (target !== undefined) {
      const chain = table.chains.get(target);
      if (chain === undefined) return ERRNO.ENOENT;
      if (chain.attributes.has(CHAIN.HOOK)) return ERRNO.EOPNOTSUPP;
    }
    this.#journal.set(set.elements, idOf(element), element);
    this.#countTarget(table, set, target, 1);
    return 0;
  }

  #deleteElement(table: TableState, set: SetState, element: ElementState): number {
    const known = set.elements.get(idOf(element));
    if (known === undefined) return ERRNO.ENOENT;
    this.#journal.delete(set.elements, idOf(element));
    this.#countTarget(table, set, known.target, -1);
    return 0;
  }

  #countTarget(table: TableState, set: SetState, target: string | undefined, by: number): void {
    if (target === undefined) return;
    this.#journal.count(table.chainUses, target, by);
    this.#journal.count(set.targets, target, by);
  }
}

/** Two sets that differ in one of these are not the same. */
const SHAPE = [
  ...[SET.FLAGS, SET.KEY_TYPE, SET.KEY_LENGTH, SET.DATA_TYPE, SET.DATA_LENGTH, SET.TIMEOUT],
  ...[SET.DESCRIPTION, SET.EXPRESSION],
];

const sameBytes = (one: Attributes, other: Attributes, type: number): boolean =>
  (one.get(type) ?? Buffer.alloc(0)).equals(other.get(type) ?? Buffer.alloc(0));

const sameData = ({ data: one }: ElementState, { data: other }: ElementState): boolean =>
  one === undefined || other === undefined ? one === other : one.equals(other);

/** What a rule refers to has to be there, and to be of the right kind. */
const checkRule = ({ chains, sets }: TableState, rule: RuleState): number => {
  for (const { set, yields } of rule.lookups) {
    const found = sets.get(set)?.attributes;
    if (found === undefined) return ERRNO.ENOENT;
    const isVerdict = getBe32(found, SET.DATA_TYPE) === VERDICT_TYPE;
    if (yields === 'nothing' ? hasFlag(found, SET_FLAG.MAP) : !hasFlag(found, SET_FLAG.MAP)) return ERRNO.EINVAL;
    if (yields !== 'nothing' && isVerdict !== (yields === 'verdict')) return ERRNO.EINVAL;
  }
  for (const { set, hasTimeout } of rule.updates) {
    const found = sets.get(set)?.attributes;
    if (found === undefined) return ERRNO.ENOENT;
    if (!hasFlag(found, SET_FLAG.DYNAMIC)) return ERRNO.EOPNOTSUPP;
    if (hasTimeout && !hasFlag(found, SET_FLAG.TIMEOUT)) return ERRNO.EOPNOTSUPP;
  }
  for (const name of rule.chains) {
    const found = chains.get(name);
    if (found === undefined) return ERRNO.ENOENT;
    if (found.attributes.has(CHAIN.HOOK)) return ERRNO.EOPNOTSUPP;
  }
  return 0;
};
