/**
 * Any rule that the library can write, in one family, with the sets that it looks into: each in the one form that it is
 * read back in (a whole address instead of a prefix as long as it, protocols by name where they have one). Left out are two
 * that nft writes with other registers or constants to the same end: a map's key of one field, a comparison with flipped bits.
 */
import fc, { type Arbitrary } from 'fast-check';
import {
  bits,
  concat,
  ct,
  dnat,
  drop,
  fibType,
  goto,
  inSet,
  jump,
  lookup,
  mangle,
  mapUpdate,
  masquerade,
  match,
  meta,
  notInSet,
  numgen,
  payload,
  prefix,
  reject,
  vmap,
} from '../../src/nftables-json/construct.ts';
import { lengthOf } from '../../src/nftables-json/datatypes.ts';
import type { Expression, Literal, SetDeclaration, Statement, TypeName } from '../../src/nftables-json/schema.ts';

export type AddressFamily = 'ip' | 'ip6';
export const FAMILIES: readonly AddressFamily[] = ['ip', 'ip6'];

export const TABLE = 'chance';
/** Where rules lead: a chain that has to exist. */
export const TARGET = 'target';

interface Part {
  readonly statement: Statement;
  readonly set?: SetDeclaration;
}

export interface RandomRule {
  readonly statements: readonly Statement[];
  readonly sets: readonly SetDeclaration[];
}

type Field = readonly [expression: Expression, type: TypeName];

const u32 = fc.nat({ max: 0xffffffff });
const port = fc.nat({ max: 0xffff });
const operator = fc.constantFrom('==' as const, '!=' as const);
const addressType = (family: AddressFamily): TypeName => (family === 'ip' ? 'ipv4_addr' : 'ipv6_addr');
const addressBits = (family: AddressFamily): number => (family === 'ip' ? 32 : 128);

/** In the one spelling that the kernel's bytes are read as. */
export const address = (family: AddressFamily): Arbitrary<string> =>
  family === 'ip'
    ? fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => bytes.join('.'))
    : fc.constantFrom('fd00::1', '::', '2001:db8:1:2:3:4:5:6', 'fd00:10:96::a', 'ff02::1', '::1');

const maskedBytes = (bytes: readonly number[], length: number): number[] =>
  bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, length - i * 8))) & 0xff);

/** Of every length; what lies behind the prefix is zero. The whole address is no prefix. */
export const prefixOf = (family: AddressFamily): Arbitrary<Expression> => {
  const max = addressBits(family);
  const address = fc.array(fc.integer({ min: 1, max: 0xff }), { minLength: max / 8, maxLength: max / 8 });
  return fc.tuple(address, fc.integer({ min: 0, max: max - 1 })).map(([bytes, length]) => {
    const masked = maskedBytes(bytes, length);
    return prefix(family === 'ip' ? masked.join('.') : compressed(masked), length);
  });
};

/** No field in the middle is zero, so only the end is shortened. */
const compressed = (bytes: readonly number[]): string => {
  const fields = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const end = fields.findLastIndex((field) => field !== 0) + 1;
  const shown = fields.slice(0, end).map((field) => field.toString(16));
  if (end === fields.length) return shown.join(':');
  return end === fields.length - 1 ? `${shown.join(':')}:0` : `${shown.join(':')}::`;
};

const protocolLiteral = fc.oneof(
  fc.constantFrom('tcp', 'udp', 'sctp'),
  fc.nat({ max: 255 }).filter((number) => ![6, 17, 132].includes(number)),
);

/** A value of a type. */
export const literalOf = (family: AddressFamily, type: TypeName): Arbitrary<Literal> => {
  if (type === 'inet_proto') return protocolLiteral;
  if (type === 'inet_service') return port;
  return type === 'mark' || type === 'integer' ? u32 : address(family);
};

const bitsOf = (of: Expression, ...others: readonly ('|' | '^')[]): Arbitrary<Expression> =>
  fc.oneof(
    u32.map((mask) => bits(of, '&', mask)),
    fc
      .tuple(fc.constantFrom(...others), fc.integer({ min: 1, max: 0xffffffff }))
      .map(([op, mask]) => bits(of, op, mask)),
  );

const fieldsOf = (family: AddressFamily): readonly Field[] => [
  [payload(family, 'saddr'), addressType(family)],
  [payload(family, 'daddr'), addressType(family)],
  [meta('l4proto'), 'inet_proto'],
  [payload('th', 'sport'), 'inet_service'],
  [payload('th', 'dport'), 'inet_service'],
  [meta('mark'), 'mark'],
  [ct('mark'), 'mark'],
  [ct(`${family} saddr`, 'original'), addressType(family)],
  [ct(`${family} daddr`, 'reply'), addressType(family)],
  [ct('proto-dst', 'original'), 'inet_service'],
];

const one = <T>(list: readonly T[]): T | readonly T[] => (list.length === 1 ? (list[0] as T) : list);

/** There are 64 bytes of registers, of which a map's data takes some; nft runs out of them earlier than the kernel. */
const MAX_KEY_BYTES = 48;

const fields = (family: AddressFamily, minLength: number): Arbitrary<readonly Field[]> =>
  fc
    .uniqueArray(fc.constantFrom(...fieldsOf(family)), { minLength, maxLength: 4 })
    .filter((fields) => lengthOf(fields.map(([, type]) => type)) <= MAX_KEY_BYTES);

/** A key of some fields, and the declaration of a set for it. */
const keyed = (
  family: AddressFamily,
  kind: string,
  more: Partial<SetDeclaration> = {},
  minLength = 1,
): Arbitrary<{ readonly key: Expression; readonly set: SetDeclaration }> =>
  fields(family, minLength).map((fields) => {
    const types = fields.map(([, type]) => type);
    const parts = fields.map(([expression]) => expression);
    const [only] = parts;
    return {
      key: parts.length === 1 && only !== undefined ? only : concat(...parts),
      set: { family, table: TABLE, name: `${kind}-${types.join('-')}`, type: one(types), ...more },
    };
  });

const matches = (family: AddressFamily): Arbitrary<Part> => {
  const field = fc.constantFrom(payload(family, 'saddr'), payload(family, 'daddr'));
  const statement = fc.oneof(
    fc.tuple(field, operator, fc.oneof(address(family), prefixOf(family))).map((of) => match(...of)),
    fc.tuple(fc.constantFrom(payload('th', 'sport'), payload('th', 'dport')), operator, port).map((of) => match(...of)),
    fc.tuple(operator, protocolLiteral).map(([op, right]) => match(meta('l4proto'), op, right)),
    fc.tuple(fc.constantFrom(meta('mark'), ct('mark')), operator, u32).map((of) => match(...of)),
    fc.tuple(bitsOf(meta('mark'), '|'), operator, u32).map((of) => match(...of)),
    fc.constantFrom('invalid', 'established', 'related', 'new', 'untracked').map((to) => match(ct('state'), 'in', to)),
    fc.constantFrom('original', 'reply').map((to) => match(ct('direction'), '==', to)),
    fc.constantFrom('seen-reply', 'assured', 'confirmed', 'snat', 'dnat').map((to) => match(ct('status'), 'in', to)),
    fc
      .tuple(fc.constantFrom(fibType('saddr'), fibType('daddr')), operator, fc.constantFrom('local', 'unicast'))
      .map((of) => match(...of)),
    fc
      .tuple(operator, fc.constantFrom('cni0', 'veth*', 'a', 'a*', 'fifteen-letters', 'fifteen-letter*', 'eth0.10'))
      .map(([op, name]) => match(meta('iifname'), op, name)),
  );
  return statement.map((one) => ({ statement: one }));
};

const lookups = (family: AddressFamily): Arbitrary<Part> =>
  fc.tuple(keyed(family, 'set'), fc.boolean()).map(([{ key, set }, isInverted]) => ({
    set,
    statement: isInverted ? notInSet(key, set.name) : inSet(key, set.name),
  }));

const changes = (family: AddressFamily): Arbitrary<Part> =>
  fc.oneof(
    fc.oneof(bitsOf(meta('mark'), '|', '^'), bitsOf(ct('mark'), '|', '^'), fc.constant(ct('mark'))).map((value) => ({
      statement: mangle(meta('mark'), value),
    })),
    keyed(family, 'marks', { map: 'mark' }).map(({ key, set }) => ({
      set,
      statement: mangle(meta('mark'), lookup(key, set.name)),
    })),
    fc
      .tuple(
        keyed(family, 'dynamic', { map: 'inet_service', flags: ['timeout', 'dynamic'], size: 1000 }, 2),
        fc.integer({ min: 1, max: 86_400 }),
      )
      .map(([{ key, set }, seconds]) => ({
        set,
        statement: mapUpdate(set.name, key, payload('th', 'dport'), seconds),
      })),
  );

const dnats = (family: AddressFamily): Arbitrary<Part> =>
  fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 250 })).map(([isIndexed, count]) => {
    const service = [payload(family, 'daddr'), meta('l4proto'), payload('th', 'dport')];
    const data = [addressType(family), 'inet_service'] as const;
    const here = { family, table: TABLE, map: data };
    if (!isIndexed) {
      const set = { ...here, name: 'plain', type: [addressType(family), 'inet_proto', 'inet_service'] as const };
      return { set, statement: dnat(family, lookup(concat(...service), set.name)) };
    }
    const set = { ...here, name: 'indexed', type: { typeof: concat(...service, numgen(2)) } };
    return { set, statement: dnat(family, lookup(concat(...service, numgen(count)), set.name)) };
  });

/** What ends a rule. */
const ends = (family: AddressFamily): Arbitrary<Part> =>
  fc.oneof(
    fc
      .constantFrom<Statement>(
        drop,
        { accept: null },
        { return: null },
        jump(TARGET),
        goto(TARGET),
        reject(family),
        masquerade,
        { masquerade: null },
        { masquerade: { flags: 'random' } },
        { masquerade: { flags: 'persistent' } },
      )
      .map((statement) => ({ statement })),
    keyed(family, 'verdicts', { map: 'verdict' }).map(({ key, set }) => ({ set, statement: vmap(key, set.name) })),
    dnats(family),
  );

export const randomRule = (family: AddressFamily): Arbitrary<RandomRule> =>
  fc
    .tuple(
      fc.array(fc.oneof(matches(family), lookups(family), changes(family)), { maxLength: 4 }),
      fc.option(ends(family), { nil: undefined }),
    )
    .map(([parts, end]) => (end === undefined ? parts : [...parts, end]))
    .filter((parts) => parts.length > 0)
    .map((parts) => ({
      statements: parts.map(({ statement }) => statement),
      sets: parts.flatMap(({ set }) => set ?? []),
    }));
