/**
 * Elements of sets and maps between JSON and bytes.
 *
 * Large loads consist mostly of elements, so these are written straight into one buffer instead of attribute trees:
 * 250,000 elements take a second instead of several.
 */
import {
  type Attributes,
  align,
  decode,
  decodeNest,
  encode,
  getBe32,
  getBe64,
  getText,
  sizeOf,
} from '../netlink/attributes.ts';
import { writeU16 } from '../netlink/bytes.ts';
import { isVerdict } from './construct.ts';
import { decodeCounter, encodeCounter } from './counters.ts';
import { DATA_TYPES, lengthOf, pad4 } from './datatypes.ts';
import { DATA, VERDICT, verdictName } from './kernel-expression.ts';
import { prefixMask, verdictData } from './linearize.ts';
import type { Element, ElementKey, Expression, Literal, SetDeclaration, TypeName, Verdict } from './schema.ts';
import { dataFieldsOf, fieldsOf } from './types.ts';
import { commentOf, elementUserdata } from './userdata.ts';

const LIST_ELEMENT = 1;
const ELEMENT = {
  KEY: 1,
  DATA: 2,
  FLAGS: 3,
  TIMEOUT: 4,
  EXPIRATION: 5,
  USERDATA: 6,
  EXPRESSION: 7,
  KEY_END: 10,
} as const;
const CATCH_ALL = 2;
const HEADER = 4;
const NESTED = 0x8000;
const MILLISECONDS = 1_000;

/** Encoding of the elements of one set. */
export interface ElementFormat {
  readonly key: readonly TypeName[];
  readonly data: readonly TypeName[];
  readonly isMap: boolean;
  readonly isInterval: boolean;
}

export const elementFormat = (set: SetDeclaration): ElementFormat => ({
  key: fieldsOf(set.type),
  data: dataFieldsOf(set),
  isMap: set.map !== undefined,
  isInterval: set.flags?.includes('interval') ?? false,
});

export const keyOf = (element: Element): Expression => (isPair(element) ? element[0] : element);

const isPair = (element: Element): element is readonly [Expression, Expression | Verdict] => Array.isArray(element);

const isElementKey = (key: Expression): key is ElementKey => typeof key === 'object' && 'elem' in key;

const bareKey = (key: Expression): Expression => (isElementKey(key) ? key.elem.val : key);

/** Key of an element, without comment and times: the kernel identifies the element by it. */
export const bareKeyOf = (element: Element): Expression => bareKey(keyOf(element));

const partsOf = (value: Expression, fields: readonly TypeName[]): readonly Expression[] => {
  const parts = typeof value === 'object' && 'concat' in value ? value.concat : [value];
  if (parts.length === fields.length) return parts;
  throw new TypeError(`${JSON.stringify(value)} has ${parts.length} fields, not ${fields.join(' . ')}`);
};

/** Writes the fields of a key or of data; of a prefix the first or the last address. */
const writeFields = (fields: readonly TypeName[], value: Expression, isEnd = false): Buffer => {
  const bytes = Buffer.alloc(lengthOf(fields));
  let at = 0;
  for (const [i, part] of partsOf(value, fields).entries()) {
    const type = DATA_TYPES[fields[i] ?? 'integer'];
    writeField(bytes, at, type, part, isEnd);
    at += pad4(type.bytes);
  }
  return bytes;
};

const writeField = (
  bytes: Buffer,
  at: number,
  type: (typeof DATA_TYPES)[TypeName],
  part: Expression,
  isEnd: boolean,
): void => {
  if (typeof part !== 'object') {
    type.write(bytes, at, part);
    return;
  }
  if (!('prefix' in part)) throw new TypeError(`no constant: ${JSON.stringify(part)}`);
  type.write(bytes, at, part.prefix.addr);
  const mask = prefixMask(type.bytes, part.prefix.len);
  for (const [i, bits] of mask.entries()) bytes[at + i] = ((bytes[at + i] ?? 0) & bits) | (isEnd ? ~bits & 0xff : 0);
};

/** Part of an encoded element: attribute type, value, and whether the value is wrapped in a nest. */
type ElementPart = readonly [type: number, value: Uint8Array, isWrapped: boolean];

const lengthOfPart = ([, value, isWrapped]: ElementPart): number =>
  align(HEADER + value.length) + (isWrapped ? HEADER : 0);

/** Parts of an element; a deletion needs the key only. */
const partsOfElement = (format: ElementFormat, element: Element, isDeletion: boolean): readonly ElementPart[] => {
  const key = keyOf(element);
  const bare = bareKey(key);
  const parts: ElementPart[] = [[ELEMENT.KEY, writeFields(format.key, bare), true]];
  if (format.isInterval) parts.push([ELEMENT.KEY_END, writeFields(format.key, bare, true), true]);
  if (isDeletion) return parts;
  if (format.isMap) parts.push(dataOf(format, element));
  if (isElementKey(key) && key.elem.comment !== undefined) {
    parts.push([ELEMENT.USERDATA, elementUserdata(key.elem.comment), false]);
  }
  if (isElementKey(key) && key.elem.timeout !== undefined) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(key.elem.timeout * MILLISECONDS));
    parts.push([ELEMENT.TIMEOUT, bytes, false]);
  }
  if (isElementKey(key) && key.elem.counter !== undefined) {
    parts.push([ELEMENT.EXPRESSION, encodeCounter(key.elem.counter), false]);
  }
  return parts;
};

const dataOf = ({ data }: ElementFormat, element: Element): ElementPart => {
  if (!isPair(element)) throw new TypeError(`an element of a map has no data: ${JSON.stringify(element)}`);
  const [, value] = element;
  if (typeof value === 'object' && isVerdict(value)) return [ELEMENT.DATA, encodedVerdict(value), false];
  return [ELEMENT.DATA, writeFields(data, value), true];
};

/** Content of a DATA nest. */
const encodedVerdict = (verdict: Verdict): Uint8Array => {
  const { value } = verdictData(ELEMENT.DATA, verdict);
  if (value instanceof Uint8Array) return value;
  const bytes = Buffer.alloc(sizeOf(value));
  encode(bytes, 0, value);
  return bytes;
};

const writeHeader = (target: Buffer, at: number, length: number, type: number): void => {
  writeU16(target, length, at);
  writeU16(target, type, at + 2);
};

const NESTS: readonly number[] = [ELEMENT.KEY, ELEMENT.KEY_END, ELEMENT.DATA, ELEMENT.EXPRESSION];
const isNest = (type: number): boolean => NESTS.includes(type);

const writePart = (target: Buffer, at: number, part: ElementPart): number => {
  const [type, value, isWrapped] = part;
  const inner = HEADER + value.length;
  if (!isWrapped) {
    writeHeader(target, at, inner, isNest(type) ? type | NESTED : type);
    target.set(value, at + HEADER);
  } else {
    writeHeader(target, at, HEADER + align(inner), type | NESTED);
    writeHeader(target, at + HEADER, inner, DATA.VALUE);
    target.set(value, at + HEADER + HEADER);
  }
  return at + lengthOfPart(part);
};

/** Lists of elements, each within the length of an attribute. */
export const encodeElements = (
  format: ElementFormat,
  elements: readonly Element[],
  isDeletion: boolean,
  maxBytes: number,
): readonly Buffer[] => {
  const lists: Buffer[] = [];
  let pending: (readonly ElementPart[])[] = [];
  let size = 0;
  const flush = (): void => {
    if (pending.length > 0) lists.push(writeList(pending, size));
    pending = [];
    size = 0;
  };
  for (const element of elements) {
    const parts = partsOfElement(format, element, isDeletion);
    const length = HEADER + parts.reduce((sum, part) => sum + lengthOfPart(part), 0);
    if (size + length > maxBytes) flush();
    pending.push(parts);
    size += length;
  }
  flush();
  return lists;
};

const writeList = (elements: readonly (readonly ElementPart[])[], size: number): Buffer => {
  const bytes = Buffer.alloc(size);
  let at = 0;
  for (const parts of elements) {
    const start = at;
    at += HEADER;
    for (const part of parts) at = writePart(bytes, at, part);
    writeHeader(bytes, start, at - start, LIST_ELEMENT | NESTED);
  }
  return bytes;
};

/** Element of a listing; undefined for the catch-all element. */
export const decodeElement = (format: ElementFormat, content: Buffer): Element | undefined => {
  const attributes = decode(content);
  if ((getBe32(attributes, ELEMENT.FLAGS) & CATCH_ALL) !== 0) return undefined;
  const first = decodeNest(attributes, ELEMENT.KEY).get(DATA.VALUE) ?? Buffer.alloc(0);
  const last = decodeNest(attributes, ELEMENT.KEY_END).get(DATA.VALUE);
  const val = readFields(format.key, first, last);
  const key = keyOfListing(val, attributes);
  if (!format.isMap) return key;
  const data = decodeNest(attributes, ELEMENT.DATA);
  const value = data.get(DATA.VALUE);
  return [key, value === undefined ? decodeVerdict(data.get(DATA.VERDICT)) : readFields(format.data, value)];
};

/** Attributes of an element besides key and data; most elements have none. */
const EXTRAS = [ELEMENT.USERDATA, ELEMENT.TIMEOUT, ELEMENT.EXPIRATION, ELEMENT.EXPRESSION] as const;

const keyOfListing = (val: Expression, attributes: Attributes): Expression => {
  if (!EXTRAS.some((type) => attributes.has(type))) return val;
  const userdata = attributes.get(ELEMENT.USERDATA);
  const comment = userdata === undefined ? undefined : commentOf(userdata);
  const timeout = Number(getBe64(attributes, ELEMENT.TIMEOUT)) / MILLISECONDS;
  const expires = Number(getBe64(attributes, ELEMENT.EXPIRATION)) / MILLISECONDS;
  const counter = decodeCounter(attributes, ELEMENT.EXPRESSION);
  const more = {
    ...(timeout > 0 ? { timeout } : {}),
    ...(expires > 0 ? { expires } : {}),
    ...(counter === undefined ? {} : { counter }),
    ...(comment === undefined ? {} : { comment }),
  };
  return Object.keys(more).length === 0 ? val : { elem: { val, ...more } };
};

/** Verdict in bytes; the kernel never returns a jump or goto without its chain. */
export const decodeVerdict = (content: Buffer | undefined): Verdict => {
  const attributes = decode(content ?? Buffer.alloc(0));
  const target = getText(attributes, VERDICT.CHAIN);
  switch (verdictName(getBe32(attributes, VERDICT.CODE))) {
    case 'jump':
      return { jump: { target } };
    case 'goto':
      return { goto: { target } };
    case 'drop':
      return { drop: null };
    case 'accept':
      return { accept: null };
    default:
      return { return: null };
  }
};

const readFields = (fields: readonly TypeName[], bytes: Buffer, end?: Buffer): Expression => {
  const parts: Expression[] = [];
  let at = 0;
  for (const name of fields) {
    const { bytes: length, read } = DATA_TYPES[name];
    const first = read(bytes, at);
    parts.push(
      end === undefined ? first : range(bytes.subarray(at, at + length), end.subarray(at, at + length), first),
    );
    at += pad4(length);
  }
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { concat: parts };
};

const BITS = 8;

/** Prefix from the first to the last address; the address alone when they are equal. */
const range = (first: Buffer, last: Buffer, addr: Literal): Expression => {
  if (first.equals(last)) return addr;
  const differing = first.findIndex((byte, i) => byte !== last[i]);
  const bits = Math.clz32((first[differing] ?? 0) ^ (last[differing] ?? 0)) - (32 - BITS);
  return { prefix: { addr: String(addr), len: differing * BITS + bits } };
};
