/** What nf_tables in memory answers to questions. */
import {
  type Attribute,
  be32,
  be64,
  bytes,
  decode,
  encode,
  getText,
  nest,
  sizeOf,
  text,
} from '../../../src/netlink/attributes.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { acknowledge, done, type FakeAnswer, part, refuse } from '../../../src/netlink/fake-socket.ts';
import { FLAG, type Message } from '../../../src/netlink/message.ts';
import { encodeCounter } from '../../../src/nftables-json/counters.ts';
import {
  CHAIN,
  ELEMENTS,
  familyHeader,
  LIST_ELEMENT,
  MESSAGE,
  messageType,
  RULE,
  SET,
  TABLE,
} from '../../../src/nftables-json/messages.ts';
import { ELEMENT, type ElementState } from './memory-elements.ts';
import type { TableState } from './memory-tables.ts';

/** Elements in one message. */
const PART = 100;
const GENERATION_ID = 1;

/** A list, or one thing, or an errno. */
type Found = readonly (readonly Attribute[])[] | number;

export const answerTo = (
  tables: ReadonlyMap<string, TableState>,
  generation: number,
  message: Message,
): readonly FakeAnswer[] => {
  const family = message.body[0] ?? 0;
  const found = find(tables, generation, message);
  if (typeof found === 'number') return [refuse(message, found)];
  const type = messageType(ANSWERS[message.type & 0xff] ?? 0);
  const parts = found.map((attributes) => {
    const body = Buffer.alloc(4 + sizeOf(attributes));
    familyHeader(family).copy(body);
    encode(body, 4, attributes);
    return part(message, type, body);
  });
  const isList = (message.flags & FLAG.DUMP) === FLAG.DUMP;
  return [...parts, ...(isList ? [done(message)] : acknowledge(message))];
};

const ANSWERS: Readonly<Record<number, number>> = {
  [MESSAGE.GET_TABLE]: MESSAGE.NEW_TABLE,
  [MESSAGE.GET_CHAIN]: MESSAGE.NEW_CHAIN,
  [MESSAGE.GET_RULE]: MESSAGE.NEW_RULE,
  [MESSAGE.GET_SET]: MESSAGE.NEW_SET,
  [MESSAGE.GET_ELEMENT]: MESSAGE.NEW_ELEMENT,
  [MESSAGE.GET_GENERATION]: MESSAGE.NEW_GENERATION,
};

const find = (tables: ReadonlyMap<string, TableState>, generation: number, { type, flags, body }: Message): Found => {
  const family = body[0] ?? 0;
  const name = getText(decode(body.subarray(4)), TABLE.NAME);
  const table = tables.get(`${family} ${name}`);
  const ofFamily = [...tables.values()].filter((one) => one.family === family);
  switch (type & 0xff) {
    case MESSAGE.GET_GENERATION:
      return [[be32(GENERATION_ID, generation)]];
    case MESSAGE.GET_TABLE:
      return table === undefined ? ERRNO.ENOENT : [[text(TABLE.NAME, table.name)]];
    case MESSAGE.GET_CHAIN:
      return (flags & FLAG.DUMP) === FLAG.DUMP ? ofFamily.flatMap(chainsOf) : chainOf(table, body);
    case MESSAGE.GET_RULE:
      return ofFamily.filter((one) => name === '' || one === table).flatMap(rulesOf);
    case MESSAGE.GET_SET:
      return table === undefined ? ERRNO.ENOENT : [...table.sets.values()].map(({ attributes }) => setOf(attributes));
    case MESSAGE.GET_ELEMENT:
      return elementsOf(table, getText(decode(body.subarray(4)), ELEMENTS.SET));
    default:
      return ERRNO.EINVAL;
  }
};

const raw = (attributes: ReadonlyMap<number, Buffer>): readonly Attribute[] =>
  [...attributes].map(([type, value]) => bytes(type, value));

const chainsOf = ({ chains }: TableState): readonly (readonly Attribute[])[] =>
  [...chains.values()].map(({ attributes }) => raw(attributes));

const chainOf = (table: TableState | undefined, body: Buffer): Found => {
  const chain = table?.chains.get(getText(decode(body.subarray(4)), CHAIN.NAME));
  return chain === undefined ? ERRNO.ENOENT : [raw(chain.attributes)];
};

const rulesOf = ({ name, chains }: TableState): readonly (readonly Attribute[])[] =>
  [...chains].flatMap(([chain, { rules }]) =>
    rules.map(({ expressions }) => [
      text(RULE.TABLE, name),
      text(RULE.CHAIN, chain),
      bytes(RULE.EXPRESSIONS, expressions),
    ]),
  );

/** The id is good for one transaction. */
const setOf = (attributes: ReadonlyMap<number, Buffer>): readonly Attribute[] =>
  raw(attributes).filter(({ type }) => type !== SET.ID);

const elementsOf = (table: TableState | undefined, name: string): Found => {
  const set = table?.sets.get(name);
  if (table === undefined || set === undefined) return ERRNO.ENOENT;
  const counts = set.attributes.has(SET.EXPRESSION);
  const elements = [...set.elements.values()].map((element) => nest(LIST_ELEMENT, elementOf(element, counts)));
  return Array.from({ length: Math.ceil(elements.length / PART) }, (_, i) => [
    text(ELEMENTS.TABLE, table.name),
    text(ELEMENTS.SET, name),
    nest(ELEMENTS.LIST, elements.slice(i * PART, (i + 1) * PART)),
  ]);
};

/** What has a time-out has some of it left. */
const elementOf = ({ attributes, counted }: ElementState, counts: boolean): readonly Attribute[] => {
  const timeout = attributes.get(ELEMENT.TIMEOUT);
  const left = timeout === undefined ? [] : [be64(ELEMENT.EXPIRATION, timeout.readBigUInt64BE() / 2n)];
  const counter = counts ? [bytes(ELEMENT.EXPRESSION, encodeCounter(counted))] : [];
  return [...raw(attributes), ...left, ...counter];
};
