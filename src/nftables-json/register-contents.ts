/** Values that the kernel's expressions load into registers: header fields, meta and conntrack keys, numbers. */
import { type Attributes, getBe32, getU8 } from '../netlink/attributes.ts';
import { isLiteral } from './construct.ts';
import { lengthOf } from './datatypes.ts';
import {
  CT,
  CT_DIRECTION,
  CT_KEY,
  FIB,
  FIB_FLAG,
  type FoundExpression,
  HEADER_FIELDS,
  INTERFACE_NAME_BYTES,
  META,
  META_KEY,
  NUMGEN,
  NUMGEN_MODE,
  PAYLOAD,
} from './kernel-expression.ts';
import type { Expression, Payload } from './schema.ts';
import { typesOf } from './types.ts';

/** Content of a register, with the number of bytes when only the first ones of a field are loaded. */
export interface RegisterContent {
  readonly expression: Expression;
  readonly bytes: number;
  /** Leading bits of the field that a mask keeps. */
  readonly prefix?: number;
  /** Bits of conntrack that a mask selects. */
  readonly bits?: number;
}

export const REGISTER_BYTES = 4;
export const BITS = 8;

export const nameOf = <T extends Readonly<Record<string, number>>>(table: T, number: number): keyof T | undefined =>
  Object.keys(table).find((name) => table[name] === number);

export const LOADS: Readonly<Record<string, number>> = {
  payload: PAYLOAD.DREG,
  meta: META.DREG,
  ct: CT.DREG,
  fib: FIB.DREG,
  numgen: NUMGEN.DREG,
};

const UNKNOWN = 'unknown';

/** Content that an expression loads; undefined for one that loads nothing. */
export const loadedBy = ({ name, attributes }: FoundExpression): RegisterContent | undefined => {
  const register = LOADS[name];
  if (register === undefined || !attributes.has(register)) return undefined;
  switch (name) {
    case 'payload':
      return payloadOf(attributes);
    case 'meta':
      return held(metaOf(attributes));
    case 'ct':
      return held(conntrackOf(attributes));
    case 'fib': {
      const flags = getBe32(attributes, FIB.FLAGS);
      const named = (Object.keys(FIB_FLAG) as (keyof typeof FIB_FLAG)[]).filter(
        (flag) => (flags & FIB_FLAG[flag]) !== 0,
      );
      return { expression: { fib: { result: 'type', flags: named } }, bytes: REGISTER_BYTES };
    }
    default: {
      const mode = nameOf(NUMGEN_MODE, getBe32(attributes, NUMGEN.TYPE)) ?? 'inc';
      const mod = getBe32(attributes, NUMGEN.MODULUS);
      return held({ numgen: { mode, mod, offset: getBe32(attributes, NUMGEN.OFFSET) } });
    }
  }
};

export const isInterface = (expression: Expression): boolean =>
  typeof expression === 'object' && 'meta' in expression && expression.meta.key === 'iifname';

export const isDirection = (expression: Expression): boolean =>
  typeof expression === 'object' && 'ct' in expression && expression.ct.key === 'direction';

const held = (expression: Expression): RegisterContent => ({ expression, bytes: bytesOf(expression) });

const bytesOf = (expression: Expression): number => {
  if (isInterface(expression)) return INTERFACE_NAME_BYTES;
  if (isDirection(expression)) return 1;
  return isLiteral(expression) ? REGISTER_BYTES : lengthOf(typesOf(expression));
};

export const metaOf = (attributes: Attributes): Expression => {
  const key = nameOf(META_KEY, getBe32(attributes, META.KEY));
  return key === undefined ? UNKNOWN : { meta: { key } };
};

const conntrackOf = (attributes: Attributes): Expression => {
  const key = nameOf(CT_KEY, getBe32(attributes, CT.KEY));
  if (key === undefined) return UNKNOWN;
  if (!attributes.has(CT.DIRECTION)) return { ct: { key } };
  return { ct: { key, dir: getU8(attributes, CT.DIRECTION) === CT_DIRECTION.reply ? 'reply' : 'original' } };
};

/** Header field at an offset, of the family that has one there; fewer bytes than the field's are a prefix of it. */
const payloadOf = (attributes: Attributes): RegisterContent => {
  const base = getBe32(attributes, PAYLOAD.BASE);
  const offset = getBe32(attributes, PAYLOAD.OFFSET);
  const bytes = getBe32(attributes, PAYLOAD.LENGTH);
  const found = HEADER_FIELDS.find((field) => field.base === base && field.offset === offset && field.length >= bytes);
  if (found === undefined) return { expression: UNKNOWN, bytes };
  const { protocol, field } = found;
  const expression: Payload = { payload: { protocol, field } };
  return { expression, bytes, ...(bytes < found.length ? { prefix: bytes * BITS } : {}) };
};
