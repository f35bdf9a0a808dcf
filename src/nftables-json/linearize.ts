/**
 * Statements to the kernel's expressions, as nft does before it sends a rule.
 *
 * Each statement starts with all registers free. A key is loaded from register 0 on, field by field; a map's result
 * replaces it in register 0, as the key is not needed any longer.
 */
import { type Attribute, be32, be64, text, u8 } from '../netlink/attributes.ts';
import { writeU32 } from '../netlink/bytes.ts';
import { isReference } from './construct.ts';
import { DATA_TYPES, lengthOf, pad4 } from './datatypes.ts';
import {
  ADDRESS_TYPES,
  BITWISE,
  CMP,
  CT,
  CT_BITS,
  CT_DIRECTION,
  CT_KEY,
  DYNSET,
  DYNSET_OP,
  FAMILY_NUMBER,
  FIB,
  FIB_FLAG,
  HEADER_FIELDS,
  IMMEDIATE,
  INTERFACE_NAME_BYTES,
  type KernelExpression,
  LOOKUP,
  LOOKUP_INVERTED,
  MASQUERADE,
  MASQUERADE_FLAGS,
  META,
  META_KEY,
  NAT,
  NAT_DESTINATION,
  NUMGEN,
  NUMGEN_MODE,
  OPERATOR,
  PAYLOAD,
  PORT_UNREACHABLE,
  REJECT,
  RESULT_ADDRESS_TYPE,
  registerAt,
  VERDICT_REGISTER,
  value,
  verdict,
} from './kernel-expression.ts';
import type {
  BitOperation,
  BitOperator,
  Concat,
  Dnat,
  Expression,
  Literal,
  MapUpdate,
  Match,
  Payload,
  Prefix,
  SetReference,
  Statement,
  Verdict,
} from './schema.ts';
import { typesOf } from './types.ts';

const REGISTER_BYTES = 4;
const MILLISECONDS = 1_000;

const one = (name: string, ...attributes: readonly Attribute[]): KernelExpression => ({ name, attributes });

/** Expressions of one statement. Throws TypeError, with the statement, for one that cannot be in a rule. */
export const linearize = (statement: Statement): readonly KernelExpression[] => {
  if ('match' in statement) return match(statement.match);
  if ('vmap' in statement) {
    const { key, data } = statement.vmap;
    return [...load(key, 0), lookup(data, be32(LOOKUP.DREG, VERDICT_REGISTER))];
  }
  if ('mangle' in statement) return mangle(statement.mangle);
  if ('dnat' in statement) return dnat(statement);
  if ('masquerade' in statement) {
    const flags = statement.masquerade?.flags;
    return [one('masq', ...(flags === undefined ? [] : [be32(MASQUERADE.FLAGS, MASQUERADE_FLAGS[flags] ?? 0)]))];
  }
  if ('reject' in statement) {
    return [one('reject', be32(REJECT.TYPE, 0), u8(REJECT.CODE, PORT_UNREACHABLE[statement.reject.type]))];
  }
  if ('map' in statement) return mapUpdate(statement.map);
  if ('xt' in statement) throw new TypeError(`cannot be written: ${JSON.stringify(statement)}`);
  return [one('immediate', be32(IMMEDIATE.DREG, VERDICT_REGISTER), verdictData(IMMEDIATE.DATA, statement))];
};

export const verdictData = (type: number, statement: Verdict): Attribute => {
  if ('jump' in statement) return verdict(type, 'jump', statement.jump.target);
  if ('goto' in statement) return verdict(type, 'goto', statement.goto.target);
  if ('drop' in statement) return verdict(type, 'drop');
  return verdict(type, 'accept' in statement ? 'accept' : 'return');
};

const setName = (reference: SetReference): string => reference.slice(1);

const lookup = (set: SetReference, ...more: readonly Attribute[]): KernelExpression =>
  one('lookup', text(LOOKUP.SET, setName(set)), registerAt(LOOKUP.SREG, 0), ...more);

/** Loads the value of an expression into registers from this one on. */
const load = (expression: Expression, register: number): readonly KernelExpression[] => {
  if (typeof expression === 'object') {
    if ('concat' in expression) return loadConcat(expression, register);
    if ('payload' in expression) return [loadPayload(expression, register)];
    if ('meta' in expression) {
      return [one('meta', be32(META.KEY, META_KEY[expression.meta.key]), registerAt(META.DREG, register))];
    }
    if ('ct' in expression) {
      const { key, dir } = expression.ct;
      const direction = dir === undefined ? [] : [u8(CT.DIRECTION, CT_DIRECTION[dir])];
      return [one('ct', be32(CT.KEY, CT_KEY[key]), registerAt(CT.DREG, register), ...direction)];
    }
    if ('fib' in expression) {
      const flags = expression.fib.flags.reduce((sum, flag) => sum | FIB_FLAG[flag], 0);
      const result = be32(FIB.RESULT, RESULT_ADDRESS_TYPE);
      return [one('fib', registerAt(FIB.DREG, register), result, be32(FIB.FLAGS, flags))];
    }
    if ('numgen' in expression) {
      const { mode, mod, offset } = expression.numgen;
      const type = be32(NUMGEN.TYPE, NUMGEN_MODE[mode]);
      const range = [be32(NUMGEN.MODULUS, mod), type, be32(NUMGEN.OFFSET, offset)];
      return [one('numgen', registerAt(NUMGEN.DREG, register), ...range)];
    }
    if ('map' in expression) {
      return [...load(expression.map.key, 0), lookup(expression.map.data, registerAt(LOOKUP.DREG, register))];
    }
    if ('&' in expression || '|' in expression || '^' in expression) return loadBits(expression, register);
  }
  throw new TypeError(`cannot be loaded: ${JSON.stringify(expression)}`);
};

const loadConcat = ({ concat }: Concat, register: number): readonly KernelExpression[] => {
  const loaded: KernelExpression[] = [];
  let at = register;
  for (const part of concat) {
    loaded.push(...load(part, at));
    at += pad4(lengthOf(typesOf(part))) / REGISTER_BYTES;
  }
  return loaded;
};

const loadPayload = ({ payload: { protocol, field } }: Payload, register: number, bytes?: number): KernelExpression => {
  const found = HEADER_FIELDS.find((one) => one.protocol === protocol && one.field === field);
  if (found === undefined) throw new TypeError(`${protocol} has no field ${field}`);
  const { base, offset, length } = found;
  const where = [be32(PAYLOAD.BASE, base), be32(PAYLOAD.OFFSET, offset), be32(PAYLOAD.LENGTH, bytes ?? length)];
  return one('payload', registerAt(PAYLOAD.DREG, register), ...where);
};

const host32 = (number: number): Buffer => {
  const bytes = Buffer.alloc(REGISTER_BYTES);
  writeU32(bytes, number >>> 0, 0);
  return bytes;
};

/** Bitwise operation: the kernel applies the mask, then inverts the flip's bits; and, or, xor are written that way. */
const maskAndFlip = (operator: BitOperator, right: number): readonly [mask: number, flip: number] => {
  switch (operator) {
    case '&':
      return [right, 0];
    case '|':
      return [~right, right];
    case '^':
      return [0xffffffff, right];
  }
};

const bitwise = (register: number, mask: Uint8Array, flip: Uint8Array): KernelExpression =>
  one(
    'bitwise',
    registerAt(BITWISE.SREG, register),
    registerAt(BITWISE.DREG, register),
    be32(BITWISE.LENGTH, mask.length),
    value(BITWISE.MASK, mask),
    value(BITWISE.XOR, flip),
  );

const loadBits = (operation: BitOperation, register: number): readonly KernelExpression[] => {
  const [operator, [left, right]] = Object.entries(operation)[0] as [BitOperator, readonly [Expression, number]];
  const [mask, flip] = maskAndFlip(operator, right);
  return [...load(left, register), bitwise(register, host32(mask), host32(flip))];
};

const compare = (op: '==' | '!=', content: Uint8Array): KernelExpression =>
  one('cmp', registerAt(CMP.SREG, 0), be32(CMP.OP, OPERATOR[op]), value(CMP.DATA, content));

const match = ({ left, op, right }: Match['match']): readonly KernelExpression[] => {
  if (isReference(right)) {
    const flags = op === '!=' ? [be32(LOOKUP.FLAGS, LOOKUP_INVERTED)] : [];
    return [...load(left, 0), lookup(right, ...flags)];
  }
  if (op === 'in') return matchBits(left, right);
  if (typeof right === 'object' && 'prefix' in right) return matchPrefix(left, op, right);
  return [...load(left, 0), compare(op, constant(left, right))];
};

/** `ct state new`: at least one of these bits is set. */
const matchBits = (left: Expression, right: Expression): readonly KernelExpression[] => {
  const key = typeof left === 'object' && 'ct' in left ? left.ct.key : undefined;
  const bits = key === 'state' || key === 'status' ? CT_BITS[key][String(right)] : undefined;
  if (bits === undefined) throw new TypeError(`cannot be matched: ${JSON.stringify({ left, right })}`);
  return [...load(left, 0), bitwise(0, host32(bits), host32(0)), compare('!=', host32(0))];
};

const BITS = 8;

/** Comparison with a prefix: one of whole bytes needs no mask, as in nft. */
const matchPrefix = (
  left: Expression,
  op: '==' | '!=',
  { prefix: { addr, len } }: Prefix,
): readonly KernelExpression[] => {
  if (typeof left !== 'object' || !('payload' in left)) throw new TypeError('a prefix is matched with a header field');
  const address = constant(left, addr);
  if (len > 0 && len % BITS === 0) {
    const bytes = len / BITS;
    return [loadPayload(left, 0, bytes), compare(op, address.subarray(0, bytes))];
  }
  const mask = prefixMask(address.length, len);
  // bits that the mask clears are zero on both sides
  for (const [i, bits] of mask.entries()) address[i] = (address[i] ?? 0) & bits;
  return [loadPayload(left, 0), bitwise(0, mask, Buffer.alloc(address.length)), compare(op, address)];
};

export const prefixMask = (bytes: number, len: number): Buffer =>
  Buffer.from(
    Array.from({ length: bytes }, (_, i) => (0xff << Math.max(0, BITS - Math.max(0, len - i * BITS))) & 0xff),
  );

/** Right side of a comparison, in the form in which the left side is loaded. */
const constant = (left: Expression, right: Expression): Buffer => {
  if (typeof right === 'object') throw new TypeError(`no constant: ${JSON.stringify(right)}`);
  if (typeof left === 'object') {
    if ('fib' in left) return host32(ADDRESS_TYPES[right] ?? Number(right));
    if ('meta' in left && left.meta.key === 'iifname') return interfaceName(String(right));
    if ('&' in left || '|' in left || '^' in left) return host32(Number(right));
    if ('ct' in left && left.ct.key === 'direction') return directionByte(right);
  }
  const types = typesOf(left);
  const [type] = types;
  if (type === undefined || types.length !== 1) throw new TypeError(`cannot be compared: ${JSON.stringify(left)}`);
  const bytes = Buffer.alloc(DATA_TYPES[type].bytes);
  DATA_TYPES[type].write(bytes, 0, right);
  return bytes;
};

const directionByte = (right: Literal): Buffer => {
  const number = right === 'original' || right === 'reply' ? CT_DIRECTION[right] : Number(right);
  return Buffer.of(number);
};

/** Interface name in bytes; one that ends in `*` is compared up to there. */
const interfaceName = (name: string): Buffer => {
  if (name.endsWith('*')) return Buffer.from(name.slice(0, -1));
  const bytes = Buffer.alloc(INTERFACE_NAME_BYTES);
  bytes.write(name);
  return bytes;
};

const mangle = ({ key, value: what }: { readonly key: Expression; readonly value: Expression }) => {
  if (typeof key !== 'object' || !('meta' in key)) throw new TypeError(`cannot be set: ${JSON.stringify(key)}`);
  const set = one('meta', be32(META.KEY, META_KEY[key.meta.key]), registerAt(META.SREG, 0));
  return [...load(what, 0), set];
};

/** NAT with the address in register 0 and the port after it. */
const dnat = ({ dnat: { family, addr } }: Dnat): readonly KernelExpression[] => {
  const port = (family === 'ip' ? 4 : 16) / REGISTER_BYTES;
  const where = [registerAt(NAT.ADDRESS_MIN, 0), registerAt(NAT.PORT_MIN, port)];
  const type = [be32(NAT.TYPE, NAT_DESTINATION), be32(NAT.FAMILY, FAMILY_NUMBER[family])];
  return [...load(addr, 0), one('nat', ...type, ...where)];
};

const mapUpdate = ({ op, elem, data, map }: MapUpdate['map']): readonly KernelExpression[] => {
  const { val, timeout } = typeof elem === 'object' && 'elem' in elem ? elem.elem : { val: elem, timeout: undefined };
  const register = pad4(lengthOf(typesOf(val))) / REGISTER_BYTES;
  const limit = timeout === undefined ? [] : [be64(DYNSET.TIMEOUT, BigInt(timeout * MILLISECONDS))];
  const registers = [registerAt(DYNSET.KEY, 0), registerAt(DYNSET.DATA, register)];
  const change = one('dynset', text(DYNSET.SET, setName(map)), be32(DYNSET.OP, DYNSET_OP[op]), ...registers, ...limit);
  return [...load(val, 0), ...load(data, register), change];
};
