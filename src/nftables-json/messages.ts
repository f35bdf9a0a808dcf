/** Commands to netlink messages (linux/netfilter/nf_tables.h): tables, chains, rules, sets, elements. */
import { type Attribute, be32, be64, bytes, encode, MAX_ATTRIBUTE, nest, sizeOf, text } from '../netlink/attributes.ts';
import { FLAG, type Request } from '../netlink/message.ts';
import { counterAttribute } from './counters.ts';
import { DATA_TYPES, lengthOf, typeNumber } from './datatypes.ts';
import { elementFormat, encodeElements } from './elements.ts';
import { EXPRESSION, FAMILY_NUMBER } from './kernel-expression.ts';
import { linearize } from './linearize.ts';
import type {
  Chain,
  Command,
  Declaration,
  Elements,
  Family,
  Hook,
  Rule,
  SetDeclaration,
  SetFlag,
  TypeName,
} from './schema.ts';
import { dataFieldsOf, dataTypeofOf, fieldsOf } from './types.ts';
import { setUserdata } from './userdata.ts';

const SUBSYSTEM = 10 << 8;
export const messageType = (number: number): number => SUBSYSTEM | number;

export const MESSAGE = {
  NEW_TABLE: 0,
  GET_TABLE: 1,
  DELETE_TABLE: 2,
  NEW_CHAIN: 3,
  GET_CHAIN: 4,
  DELETE_CHAIN: 5,
  NEW_RULE: 6,
  GET_RULE: 7,
  DELETE_RULE: 8,
  NEW_SET: 9,
  GET_SET: 10,
  DELETE_SET: 11,
  NEW_ELEMENT: 12,
  GET_ELEMENT: 13,
  DELETE_ELEMENT: 14,
  NEW_GENERATION: 15,
  GET_GENERATION: 16,
} as const;

export const TABLE = { NAME: 1, FLAGS: 2 } as const;
export const TABLE_DORMANT = 1;
export const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
export const HOOK = { NUMBER: 1, PRIORITY: 2 } as const;
export const RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;
export const LIST_ELEMENT = 1;
export const SET = {
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LENGTH: 5,
  DATA_TYPE: 6,
  DATA_LENGTH: 7,
  DESCRIPTION: 9,
  ID: 10,
  TIMEOUT: 11,
  USERDATA: 13,
  EXPRESSION: 17,
} as const;
export const DESCRIPTION = { SIZE: 1, CONCAT: 2, FIELD_LENGTH: 1 } as const;
export const ELEMENTS = { TABLE: 1, SET: 2, LIST: 3 } as const;

export const SET_FLAG = { ANONYMOUS: 1, INTERVAL: 4, MAP: 8, TIMEOUT: 0x10, DYNAMIC: 0x20, CONCAT: 0x80 } as const;
export const SET_FLAGS: Readonly<Record<SetFlag, number>> = {
  interval: SET_FLAG.INTERVAL,
  timeout: SET_FLAG.TIMEOUT,
  dynamic: SET_FLAG.DYNAMIC,
};
export const VERDICT_TYPE = 0xffffff00;
export const HOOKS: readonly Hook[] = ['prerouting', 'input', 'forward', 'output', 'postrouting'];

/** Bytes of an element message besides its list of elements. */
const LIST_BYTES = MAX_ATTRIBUTE - 0xfff;
const MILLISECONDS = 1_000;

const FAMILY_HEADER = 4;

export const familyHeader = (family: number): Buffer => Buffer.from([family, 0, 0, 0]);

/** Message of nf_tables: header with the family, then attributes. */
export const request = (number: number, family: Family, flags: number, attributes: readonly Attribute[]): Request => {
  const body = Buffer.alloc(FAMILY_HEADER + sizeOf(attributes));
  body[0] = FAMILY_NUMBER[family];
  encode(body, FAMILY_HEADER, attributes);
  return { type: messageType(number), flags, body };
};

/** Look-up of a set's declaration, which determines the encoding of its elements. Throws when it is unknown. */
export type FindSet = (name: string) => SetDeclaration;

/** Messages of a command; many elements take several. Throws TypeError for a command that cannot be encoded. */
export const messagesOf = (command: Command, findSet: FindSet, nextId: () => number): readonly Request[] => {
  if ('add' in command) return add(command.add, findSet, nextId);
  if ('delete' in command) return remove(command.delete, findSet);
  const { flush } = command;
  if ('chain' in flush) {
    const { family, table, name } = flush.chain;
    return [request(MESSAGE.DELETE_RULE, family, 0, [text(RULE.TABLE, table), text(RULE.CHAIN, name)])];
  }
  const { family, table, name } = 'set' in flush ? flush.set : flush.map;
  return [request(MESSAGE.DELETE_ELEMENT, family, 0, [text(ELEMENTS.TABLE, table), text(ELEMENTS.SET, name)])];
};

const add = (declaration: Declaration, findSet: FindSet, nextId: () => number): readonly Request[] => {
  if ('table' in declaration) {
    const { family, name } = declaration.table;
    // without flags an existing table keeps its own
    return [request(MESSAGE.NEW_TABLE, family, FLAG.CREATE, [text(TABLE.NAME, name), be32(TABLE.FLAGS, 0)])];
  }
  if ('chain' in declaration) return [addChain(declaration.chain)];
  if ('rule' in declaration) return [addRule(declaration.rule)];
  if ('element' in declaration) return elements(declaration.element, findSet, false);
  return [addSet('set' in declaration ? declaration.set : declaration.map, nextId())];
};

const remove = (declaration: Exclude<Declaration, { rule: Rule }>, findSet: FindSet): readonly Request[] => {
  if ('table' in declaration) {
    const { family, name } = declaration.table;
    return [request(MESSAGE.DELETE_TABLE, family, 0, [text(TABLE.NAME, name)])];
  }
  if ('chain' in declaration) {
    const { family, table, name } = declaration.chain;
    return [request(MESSAGE.DELETE_CHAIN, family, 0, [text(CHAIN.TABLE, table), text(CHAIN.NAME, name)])];
  }
  if ('element' in declaration) return elements(declaration.element, findSet, true);
  const { family, table, name } = 'set' in declaration ? declaration.set : declaration.map;
  return [request(MESSAGE.DELETE_SET, family, 0, [text(SET.TABLE, table), text(SET.NAME, name)])];
};

const addChain = ({ family, table, name, type, hook, prio, policy }: Chain): Request => {
  const attributes = [text(CHAIN.TABLE, table), text(CHAIN.NAME, name)];
  if (type !== undefined && hook !== undefined && prio !== undefined) {
    const number = be32(HOOK.NUMBER, HOOKS.indexOf(hook));
    attributes.push(nest(CHAIN.HOOK, [number, be32(HOOK.PRIORITY, prio >>> 0)]), text(CHAIN.TYPE, type));
    attributes.push(be32(CHAIN.POLICY, policy === 'drop' ? 0 : 1));
  }
  return request(MESSAGE.NEW_CHAIN, family, FLAG.CREATE, attributes);
};

const addRule = ({ family, table, chain, expr }: Rule): Request => {
  const expressions = expr
    .flatMap(linearize)
    .map(({ name, attributes }) =>
      nest(LIST_ELEMENT, [text(EXPRESSION.NAME, name), nest(EXPRESSION.DATA, attributes)]),
    );
  const where = [text(RULE.TABLE, table), text(RULE.CHAIN, chain)];
  const flags = FLAG.CREATE | FLAG.APPEND;
  return request(MESSAGE.NEW_RULE, family, flags, [...where, nest(RULE.EXPRESSIONS, expressions)]);
};

const addSet = (set: SetDeclaration, id: number): Request => {
  const key = fieldsOf(set.type);
  if (set.flags?.includes('interval') && !canHaveRanges(key)) throw new TypeError(`no ranges of ${key.join(' . ')}`);
  const data = dataFieldsOf(set);
  const dataType = set.map === 'verdict' ? VERDICT_TYPE : typeNumber(data);
  const dataLength = data.length > 0 ? [be32(SET.DATA_LENGTH, lengthOf(data))] : [];
  const timeout = set.timeout === undefined ? [] : [be64(SET.TIMEOUT, BigInt(set.timeout * MILLISECONDS))];
  const description = describe(set);
  return request(MESSAGE.NEW_SET, set.family, FLAG.CREATE, [
    text(SET.TABLE, set.table),
    text(SET.NAME, set.name),
    be32(SET.FLAGS, setFlags(set)),
    be32(SET.KEY_TYPE, typeNumber(key)),
    be32(SET.KEY_LENGTH, lengthOf(key)),
    ...(set.map === undefined ? [] : [be32(SET.DATA_TYPE, dataType), ...dataLength]),
    be32(SET.ID, id),
    ...timeout,
    bytes(SET.USERDATA, setUserdata(set, dataTypeofOf(set))),
    ...(set.stmt === undefined ? [] : [counterAttribute(SET.EXPRESSION)]),
    ...(description.length === 0 ? [] : [nest(SET.DESCRIPTION, description)]),
  ]);
};

/**
 * Whether a key may have intervals. The kernel keeps those of a single field in another way, as pairs of ends; fields
 * in host byte order would have to be swapped in elements and in every rule that uses the set.
 */
const canHaveRanges = (key: readonly TypeName[]): boolean =>
  key.length > 1 && !key.includes('mark') && !key.includes('integer');

/** Whether a set has intervals of concatenations, for which the kernel needs the lengths of the fields. */
const isRanged = (set: SetDeclaration): boolean =>
  set.flags?.includes('interval') === true && fieldsOf(set.type).length > 1;

const setFlags = (set: SetDeclaration): number => {
  const named = (set.flags ?? []).reduce((sum, flag) => sum | SET_FLAGS[flag], 0);
  return named | (set.map === undefined ? 0 : SET_FLAG.MAP) | (isRanged(set) ? SET_FLAG.CONCAT : 0);
};

const describe = (set: SetDeclaration): readonly Attribute[] => {
  const size = set.size === undefined ? [] : [be32(DESCRIPTION.SIZE, set.size)];
  if (!isRanged(set)) return size;
  const lengths = fieldsOf(set.type).map((name) =>
    nest(LIST_ELEMENT, [be32(DESCRIPTION.FIELD_LENGTH, DATA_TYPES[name].bytes)]),
  );
  return [...size, nest(DESCRIPTION.CONCAT, lengths)];
};

const elements = (
  { family, table, name, elem }: Elements,
  findSet: FindSet,
  isDeletion: boolean,
): readonly Request[] => {
  const number = isDeletion ? MESSAGE.DELETE_ELEMENT : MESSAGE.NEW_ELEMENT;
  const where = [text(ELEMENTS.TABLE, table), text(ELEMENTS.SET, name)];
  return encodeElements(elementFormat(findSet(name)), elem, isDeletion, LIST_BYTES).map((list) =>
    request(number, family, isDeletion ? 0 : FLAG.CREATE, [...where, { type: ELEMENTS.LIST | 0x8000, value: list }]),
  );
};
