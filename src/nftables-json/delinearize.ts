/**
 * The kernel's expressions to statements, as nft lists a rule: the contents of each register are followed.
 *
 * Statements that `linearize` writes are read back as the same. Other rules are read as far as they are known, with `xt`
 * for an expression without a statement here.
 */

import {
  type Attributes,
  decode,
  decodeList,
  decodeNest,
  getBe32,
  getBe64,
  getText,
  getU8,
} from '../netlink/attributes.ts';
import { readU32 } from '../netlink/bytes.ts';
import { foreign } from './construct.ts';
import { DATA_TYPES, isTypeName, pad4 } from './datatypes.ts';
import { decodeVerdict } from './elements.ts';
import {
  ADDRESS_TYPES,
  BITWISE,
  CMP,
  CT_BITS,
  CT_DIRECTION,
  DATA,
  DYNSET,
  DYNSET_OP,
  EXPRESSION,
  FAMILY_NUMBER,
  type FoundExpression,
  IMMEDIATE,
  INTERFACE_NAME_BYTES,
  LOOKUP,
  LOOKUP_INVERTED,
  MASQUERADE,
  MASQUERADE_FLAGS,
  META,
  NAT,
  OPERATOR,
  PORT_UNREACHABLE,
  REJECT,
  readRegister,
} from './kernel-expression.ts';
import {
  BITS,
  isDirection,
  isInterface,
  LOADS,
  loadedBy,
  metaOf,
  nameOf,
  REGISTER_BYTES,
  type RegisterContent,
} from './register-contents.ts';
import type { Expression, Payload, Statement } from './schema.ts';
import { typesOf } from './types.ts';

const MILLISECONDS = 1_000;

/** Statements of a rule's expressions. */
export const delinearize = (list: Buffer): readonly Statement[] => {
  const registers = new Registers();
  return decodeList(list).flatMap(([, content]) => {
    const attributes = decode(content);
    return registers.take({
      name: getText(attributes, EXPRESSION.NAME),
      attributes: decodeNest(attributes, EXPRESSION.DATA),
    });
  });
};

class Registers {
  readonly #held = new Map<number, RegisterContent>();

  /** Follows one expression; returns the statement that it ends. */
  take(found: FoundExpression): readonly Statement[] {
    const loaded = loadedBy(found);
    if (loaded !== undefined) {
      this.#held.set(readRegister(found.attributes, LOADS[found.name] ?? 0), loaded);
      return [];
    }
    const { attributes } = found;
    switch (found.name) {
      case 'bitwise':
        return this.#mask(attributes);
      case 'cmp':
        return [this.#compare(attributes)];
      case 'lookup':
        return this.#lookup(attributes);
      case 'meta':
        return [
          { mangle: { key: metaOf(attributes), value: this.#at(readRegister(attributes, META.SREG)).expression } },
        ];
      case 'nat':
        return [this.#nat(attributes)];
      case 'dynset':
        return [this.#update(attributes)];
      case 'byteorder': // one byte: nft writes it for a protocol in a set of ranges, without effect
        return [];
      default:
        return [withoutRegisters(found)];
    }
  }

  #at(register: number): RegisterContent {
    return this.#held.get(register) ?? { expression: 0, bytes: REGISTER_BYTES };
  }

  /** Key that begins in this register: consecutive fields, as many as were loaded. */
  #key(register: number, end = Number.POSITIVE_INFINITY): Expression {
    const parts: Expression[] = [];
    for (let at = register; at < end; ) {
      const held = this.#held.get(at);
      if (held === undefined) break;
      parts.push(held.expression);
      at += Math.max(1, pad4(held.bytes) / REGISTER_BYTES);
    }
    this.#held.clear();
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : { concat: parts };
  }

  #mask(attributes: Attributes): readonly Statement[] {
    const register = readRegister(attributes, BITWISE.SREG);
    const held = this.#at(register);
    const mask = constantOf(attributes, BITWISE.MASK);
    const flip = constantOf(attributes, BITWISE.XOR);
    this.#held.set(readRegister(attributes, BITWISE.DREG), masked(held, mask, flip));
    return [];
  }

  #compare(attributes: Attributes): Statement {
    const held = this.#at(readRegister(attributes, CMP.SREG));
    const op = getBe32(attributes, CMP.OP) === OPERATOR['!='] ? '!=' : '==';
    this.#held.clear();
    return compared(held, op, constantOf(attributes, CMP.DATA));
  }

  #lookup(attributes: Attributes): readonly Statement[] {
    const set = `@${getText(attributes, LOOKUP.SET)}` as const;
    const key = this.#key(readRegister(attributes, LOOKUP.SREG));
    if (!attributes.has(LOOKUP.DREG)) {
      const isInverted = (getBe32(attributes, LOOKUP.FLAGS) & LOOKUP_INVERTED) !== 0;
      return [{ match: { op: isInverted ? '!=' : '==', left: key, right: set } }];
    }
    if (getBe32(attributes, LOOKUP.DREG) === 0) return [{ vmap: { key, data: set } }];
    this.#held.set(readRegister(attributes, LOOKUP.DREG), { expression: { map: { key, data: set } }, bytes: 0 });
    return [];
  }

  #nat(attributes: Attributes): Statement {
    const addr = this.#at(readRegister(attributes, NAT.ADDRESS_MIN)).expression;
    const family = getBe32(attributes, NAT.FAMILY) === FAMILY_NUMBER.ip6 ? 'ip6' : 'ip';
    this.#held.clear();
    return { dnat: { family, addr } };
  }

  #update(attributes: Attributes): Statement {
    const map = `@${getText(attributes, DYNSET.SET)}` as const;
    const op = nameOf(DYNSET_OP, getBe32(attributes, DYNSET.OP)) ?? 'add';
    const split = readRegister(attributes, DYNSET.DATA);
    const behind = [...this.#held].filter(([register]) => register >= split);
    const val = this.#key(readRegister(attributes, DYNSET.KEY), split);
    for (const [register, held] of behind) this.#held.set(register, held);
    const data = this.#key(split);
    const timeout = Number(getBe64(attributes, DYNSET.TIMEOUT)) / MILLISECONDS;
    return { map: { op, elem: timeout > 0 ? { elem: { val, timeout } } : val, data, map } };
  }
}

const constantOf = (attributes: Attributes, type: number): Buffer =>
  decodeNest(attributes, type).get(DATA.VALUE) ?? Buffer.alloc(0);

const host = (bytes: Buffer): number => (bytes.length < REGISTER_BYTES ? 0 : readU32(bytes, 0));

/**
 * Bitwise operation by mask and flip: a mask alone keeps bits; a flip sets the bits that the mask clears, and inverts
 * the others.
 */
const masked = (what: RegisterContent, mask: Buffer, flip: Buffer): RegisterContent => {
  const { expression, bytes } = what;
  if (typeof expression === 'object' && 'payload' in expression) return { ...what, prefix: prefixLength(mask) };
  const isConntrack = typeof expression === 'object' && 'ct' in expression && expression.ct.key in CT_BITS;
  if (isConntrack) return { ...what, bits: host(mask) };
  const [keep, turn] = [host(mask), host(flip)];
  if (turn === 0) return { bytes, expression: { '&': [expression, keep] } };
  return { bytes, expression: keep === 0xffffffff ? { '^': [expression, turn] } : { '|': [expression, turn] } };
};

const prefixLength = (mask: Buffer): number =>
  mask.reduce((sum, byte) => sum + (BITS - (byte === 0 ? BITS : Math.log2(256 - byte))), 0);

const compared = ({ expression, prefix, bits }: RegisterContent, op: '==' | '!=', content: Buffer): Statement => {
  if (prefix !== undefined && typeof expression === 'object' && 'payload' in expression) {
    return {
      match: { op, left: expression, right: { prefix: { addr: addressOf(expression, content), len: prefix } } },
    };
  }
  if (bits !== undefined && typeof expression === 'object' && 'ct' in expression) {
    const names = CT_BITS[expression.ct.key === 'status' ? 'status' : 'state'];
    return { match: { op: 'in', left: expression, right: String(nameOf(names, bits) ?? bits) } };
  }
  return { match: { op, left: expression, right: constant(expression, content) } };
};

/** Address with these first bytes. */
const addressOf = (field: Payload, content: Buffer): string => {
  const [type = 'ipv4_addr'] = typesOf(field);
  const bytes = Buffer.alloc(DATA_TYPES[type].bytes);
  content.copy(bytes);
  return String(DATA_TYPES[type].read(bytes, 0));
};

const constant = (left: Expression, content: Buffer): Expression => {
  if (typeof left === 'object') {
    if ('fib' in left) return nameOf(ADDRESS_TYPES, host(content)) ?? host(content);
    if (isDirection(left)) return nameOf(CT_DIRECTION, content[0] ?? 0) ?? content[0] ?? 0;
    if (isInterface(left)) {
      const isWhole = content.length === INTERFACE_NAME_BYTES;
      return isWhole ? content.toString('latin1').replace(/\0.*$/s, '') : `${content.toString('latin1')}*`;
    }
    if ('payload' in left || 'meta' in left || 'ct' in left) {
      const [type = 'mark'] = typesOf(left);
      if (isTypeName(type) && content.length >= DATA_TYPES[type].bytes) return DATA_TYPES[type].read(content, 0);
    }
  }
  return host(content);
};

/** Statements that use no register. */
const withoutRegisters = ({ name, attributes }: FoundExpression): Statement => {
  switch (name) {
    case 'immediate': {
      const verdict = decodeNest(attributes, IMMEDIATE.DATA).get(DATA.VERDICT);
      return verdict === undefined ? foreign(name) : decodeVerdict(verdict);
    }
    case 'masq': {
      const flags = nameOf(MASQUERADE_FLAGS, getBe32(attributes, MASQUERADE.FLAGS));
      const isKnown = flags === 'random' || flags === 'fully-random' || flags === 'persistent';
      return { masquerade: isKnown ? { flags } : null };
    }
    case 'reject': {
      const code = getU8(attributes, REJECT.CODE);
      const type = nameOf(PORT_UNREACHABLE, code);
      if (getBe32(attributes, REJECT.TYPE) !== 0 || type === undefined) return foreign(name);
      return { reject: { type, expr: 'port-unreachable' } };
    }
    default:
      return foreign(name);
  }
};
