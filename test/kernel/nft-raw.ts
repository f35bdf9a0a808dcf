/**
 * What the kernel has of a table, attribute by attribute, as it says it over netlink and without this library's reader: the
 * same lines for two tables that behave alike. Left out is what the kernel numbers itself, and what nft alone reads.
 */
import { decode, decodeList, getBe32, getText } from '../../src/netlink/attributes.ts';
import type { NetlinkConnection } from '../../src/netlink/connection.ts';
import { FAMILY_NUMBER } from '../../src/nftables-json/kernel-expression.ts';

const SUBSYSTEM = 10 << 8;
const GET = { chain: 4, rule: 7, set: 10, element: 13 } as const;
const LIST = 1;

interface Kind {
  readonly get: number;
  /** The attribute that names the table. */
  readonly table: number;
  /** Handles, positions, counters of use, padding: what the kernel makes up. */
  readonly ignored: readonly number[];
}

const CHAIN: Kind = { get: GET.chain, table: 1, ignored: [2, 6, 8] };
const RULE: Kind = { get: GET.rule, table: 1, ignored: [3, 4, 6, 8] };
const SET: Kind = { get: GET.set, table: 1, ignored: [10, 13, 14, 16, 19] };
const RULE_EXPRESSIONS = 4;
const SET_NAME = 2;
const SET_USERDATA = 13;
const ELEMENT_LIST = 3;
/** An element's remaining time, and padding. */
const ELEMENT_IGNORED = [5, 8];
const TYPEOF = [3, 4];

const hex = (bytes: Buffer): string => bytes.toString('hex');

/** Attributes in the order of their types: writers differ in it, and it means nothing. */
const attributesText = (content: Buffer, ignored: readonly number[] = []): string =>
  [...decodeList(content)]
    .filter(([type]) => !ignored.includes(type))
    .sort(([a], [b]) => a - b)
    .map(([type, value]) => `${type}=${hex(value)}`)
    .join(' ');

const expressionsText = (list: Buffer): readonly string[] =>
  decodeList(list).flatMap(([, content]) => {
    const expression = decode(content);
    const name = getText(expression, 1);
    const data = expression.get(2) ?? Buffer.alloc(0);
    return isNoOp(name, data) ? [] : [`${name} ${attributesText(data)}`];
  });

/** nft changes the byte order of a protocol, which is one byte, before it looks it up in a set of ranges. */
const BYTEORDER_LENGTH = 4;
const isNoOp = (name: string, data: Buffer): boolean =>
  name === 'byteorder' && getBe32(decode(data), BYTEORDER_LENGTH) === 1;

const dump = (connection: NetlinkConnection, family: 'ip' | 'ip6', kind: Kind, table: string): readonly Buffer[] =>
  connection
    .dump({ type: SUBSYSTEM | kind.get, flags: 0, body: Buffer.from([FAMILY_NUMBER[family], 0, 0, 0]) })
    .map(({ body }) => body.subarray(4))
    .filter((body) => getText(decode(body), kind.table) === table);

/** What nft keeps of how the set was declared, entry by entry. */
const typeofText = (userdata: Buffer): string => {
  const found: string[] = [];
  for (let at = 0; at + 2 <= userdata.length; at += 2 + (userdata[at + 1] ?? 0)) {
    const type = userdata[at] ?? 0;
    const content = userdata.subarray(at + 2, at + 2 + (userdata[at + 1] ?? 0));
    if (TYPEOF.includes(type)) found.push(`typeof ${type}=${hex(content)}`);
  }
  return found.join(' ');
};

const text = (type: number, value: string): Buffer => {
  const bytes = Buffer.from(`${value}\0`);
  const attribute = Buffer.alloc((4 + bytes.length + 3) & ~3);
  new Uint16Array(attribute.buffer, attribute.byteOffset, 2).set([4 + bytes.length, type]);
  attribute.set(bytes, 4);
  return attribute;
};

const elementsText = (
  connection: NetlinkConnection,
  family: 'ip' | 'ip6',
  table: string,
  set: string,
): readonly string[] => {
  const header = Buffer.from([FAMILY_NUMBER[family], 0, 0, 0]);
  const body = Buffer.concat([header, text(1, table), text(SET_NAME, set)]);
  return connection
    .dump({ type: SUBSYSTEM | GET.element, flags: 0, body })
    .flatMap((message) => decodeList(decode(message.body.subarray(4)).get(ELEMENT_LIST) ?? Buffer.alloc(0)))
    .filter(([type]) => type === LIST)
    .map(([, content]) => attributesText(content, ELEMENT_IGNORED))
    .sort();
};

export interface RawTable {
  readonly chains: readonly string[];
  /** Each with its expressions, in order. */
  readonly rules: readonly (readonly string[])[];
  /** Each with its elements, in the order of their bytes. */
  readonly sets: readonly (readonly string[])[];
}

/** `byExpression` names the sets that were declared with `typeof`: of others a newer nft notes more than an older one. */
export const rawTable = (
  connection: NetlinkConnection,
  family: 'ip' | 'ip6',
  table: string,
  byExpression: readonly string[] = [],
): RawTable => ({
  chains: dump(connection, family, CHAIN, table).map((body) => attributesText(body, CHAIN.ignored)),
  rules: dump(connection, family, RULE, table).map((body) => [
    attributesText(body, RULE.ignored),
    ...expressionsText(decode(body).get(RULE_EXPRESSIONS) ?? Buffer.alloc(0)),
  ]),
  sets: dump(connection, family, SET, table).map((body) => {
    const set = decode(body);
    const name = getText(set, SET_NAME);
    const declared = byExpression.includes(name) ? typeofText(set.get(SET_USERDATA) ?? Buffer.alloc(0)) : '';
    return [attributesText(body, SET.ignored), declared, ...elementsText(connection, family, table, name)];
  }),
});
