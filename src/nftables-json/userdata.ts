/**
 * Userdata of nft beside sets and elements: byte order of keys, `typeof`, comments.
 *
 * The kernel stores it unread. Entries are type, length and value, one byte each for the former two (libnftnl's
 * udata.h); the numbers of expressions, headers and fields are nft's own (expression.h, proto.h).
 */
import { readU32, writeU32 } from '../netlink/bytes.ts';
import type { Expression, Payload, SetDeclaration } from './schema.ts';

const SET = { KEY_BYTE_ORDER: 0, DATA_BYTE_ORDER: 1, KEY_TYPEOF: 3, DATA_TYPEOF: 4, DATA_INTERVAL: 6 } as const;
const BYTE_ORDER = { MIXED: 0, HOST: 1, NETWORK: 2 } as const;
const EXPRESSION = { PAYLOAD: 7, META: 9, CONCAT: 13, NUMGEN: 23 } as const;
const HEADER = { ip: 12, ip6: 13, th: 11 } as const;
const FIELD: Readonly<Record<Payload['payload']['protocol'], Readonly<Record<string, number>>>> = {
  ip: { saddr: 11, daddr: 12 },
  ip6: { saddr: 8, daddr: 9 },
  th: { sport: 1, dport: 2 },
};
const META_KEY = { mark: 3, iifname: 6, l4proto: 16 } as const;
const NUMGEN_MODE = { inc: 0, random: 1 } as const;
const ELEMENT_COMMENT = 0;

const entry = (type: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([type, value.length]), value]);

const number = (type: number, value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  writeU32(bytes, value, 0);
  return entry(type, bytes);
};

/**
 * Encoded expression: the number of its kind, then its properties. Throws TypeError for one that `typeof` cannot have.
 */
const typeOf = (expression: Expression): Buffer => {
  const kind = (id: number, content: readonly Buffer[]): Buffer =>
    Buffer.concat([number(0, id), entry(1, Buffer.concat(content))]);
  if (typeof expression === 'object') {
    if ('concat' in expression) {
      return kind(
        EXPRESSION.CONCAT,
        expression.concat.map((part, i) => entry(i, typeOf(part))),
      );
    }
    if ('payload' in expression) {
      const { protocol, field } = expression.payload;
      return kind(EXPRESSION.PAYLOAD, [number(0, HEADER[protocol]), number(1, FIELD[protocol][field] ?? 0)]);
    }
    if ('meta' in expression) return kind(EXPRESSION.META, [number(0, META_KEY[expression.meta.key])]);
    if ('numgen' in expression) {
      const { mode, mod, offset } = expression.numgen;
      return kind(EXPRESSION.NUMGEN, [number(0, NUMGEN_MODE[mode]), number(1, mod), number(2, offset)]);
    }
  }
  throw new TypeError(`typeof ${JSON.stringify(expression)}`);
};

/** Byte order of a key; a concatenation has none. */
const orderOf = (type: SetDeclaration['type']): number => {
  if (typeof type !== 'string') return BYTE_ORDER.MIXED;
  return type === 'mark' || type === 'integer' ? BYTE_ORDER.HOST : BYTE_ORDER.NETWORK;
};

export const setUserdata = ({ type, map }: SetDeclaration, dataTypeof: Expression | undefined): Buffer =>
  Buffer.concat([
    number(SET.KEY_BYTE_ORDER, orderOf(type)),
    ...(map === undefined ? [] : [number(SET.DATA_BYTE_ORDER, map === 'verdict' ? 0 : orderOf(map))]),
    ...(typeof type === 'object' && 'typeof' in type ? [entry(SET.KEY_TYPEOF, typeOf(type.typeof))] : []),
    ...(dataTypeof === undefined ? [] : [entry(SET.DATA_TYPEOF, typeOf(dataTypeof))]),
    ...(map === undefined ? [] : [number(SET.DATA_INTERVAL, 0)]),
  ]);

/** Expression by which a set's key was declared; undefined when there is none, or it is unknown here. */
export const typeofKey = (userdata: Buffer): Expression | undefined => {
  const content = find(userdata, SET.KEY_TYPEOF);
  return content === undefined ? undefined : expressionOf(content);
};

const readNumber = (content: Buffer, type: number): number => {
  const value = find(content, type);
  return value === undefined || value.length < 4 ? 0 : readU32(value, 0);
};

const expressionOf = (content: Buffer): Expression | undefined => {
  const inner = find(content, 1) ?? Buffer.alloc(0);
  switch (readNumber(content, 0)) {
    case EXPRESSION.CONCAT: {
      const parts = entries(inner).map(([, part]) => expressionOf(part));
      return parts.every((part) => part !== undefined) ? { concat: parts } : undefined;
    }
    case EXPRESSION.PAYLOAD:
      return payloadOf(readNumber(inner, 0), readNumber(inner, 1));
    case EXPRESSION.META: {
      const key = keyOf(META_KEY, readNumber(inner, 0));
      return key === undefined ? undefined : { meta: { key } };
    }
    case EXPRESSION.NUMGEN: {
      const mode = keyOf(NUMGEN_MODE, readNumber(inner, 0)) ?? 'inc';
      return { numgen: { mode, mod: readNumber(inner, 1), offset: readNumber(inner, 2) } };
    }
    default:
      return undefined;
  }
};

const keyOf = <K extends string>(table: Readonly<Record<K, number>>, number: number): K | undefined =>
  (Object.keys(table) as K[]).find((name) => table[name] === number);

const payloadOf = (header: number, field: number): Payload | undefined => {
  const protocol = keyOf(HEADER, header);
  if (protocol === undefined) return undefined;
  const name = keyOf(FIELD[protocol], field) as Payload['payload']['field'] | undefined;
  return name === undefined ? undefined : { payload: { protocol, field: name } };
};

/** Longest comment in bytes: nft's 128 with the terminating zero byte; the rest is cut off. */
const MAX_COMMENT = 127;

/** Comment with its terminating zero byte. */
export const elementUserdata = (comment: string): Buffer => {
  const bytes = Buffer.from(comment).subarray(0, MAX_COMMENT);
  return entry(ELEMENT_COMMENT, Buffer.concat([bytes, Buffer.alloc(1)]));
};

export const commentOf = (userdata: Buffer): string | undefined => {
  const value = find(userdata, ELEMENT_COMMENT);
  return value?.toString('utf8').replace(/\0.*$/s, '');
};

const entries = (userdata: Buffer): readonly (readonly [number, Buffer])[] => {
  const list: [number, Buffer][] = [];
  for (let at = 0; at + 2 <= userdata.length; ) {
    const length = userdata[at + 1] ?? 0;
    list.push([userdata[at] ?? 0, userdata.subarray(at + 2, at + 2 + length)]);
    at += 2 + length;
  }
  return list;
};

const find = (userdata: Buffer, wanted: number): Buffer | undefined =>
  entries(userdata).find(([type]) => type === wanted)?.[1];
