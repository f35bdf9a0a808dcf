/** Any set or map that the library can write, with elements, each in the one form that it is read back in. */
import fc, { type Arbitrary } from 'fast-check';
import { concat, drop, goto, jump } from '../../src/nftables-json/construct.ts';
import type { Element, Expression, SetDeclaration, TypeName, Verdict } from '../../src/nftables-json/schema.ts';
import { type AddressFamily, address, literalOf, prefixOf, TABLE, TARGET } from './random-rules.ts';

export interface RandomSet {
  readonly declaration: SetDeclaration;
  readonly elements: readonly Element[];
}

const verdict: Arbitrary<Verdict> = fc.constantFrom<Verdict>(
  drop,
  { accept: null },
  { return: null },
  jump(TARGET),
  goto(TARGET),
);

/** nft's language has no way to write a quotation mark into one. */
const comment = fc
  .string({ minLength: 1, maxLength: 120, unit: 'grapheme-ascii' })
  .filter((text) => !/["\\\n]/.test(text) && text.trim() === text);

const joined = (parts: readonly Expression[]): Expression => {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : concat(...parts);
};

const oneOrMore = (types: readonly TypeName[]): TypeName | readonly TypeName[] => {
  const [only] = types;
  return types.length === 1 && only !== undefined ? only : types;
};

const typesOf = (family: AddressFamily): Arbitrary<TypeName> =>
  fc.constantFrom<TypeName>(family === 'ip' ? 'ipv4_addr' : 'ipv6_addr', 'inet_proto', 'inet_service', 'mark');

const anyOf = (family: AddressFamily, types: readonly TypeName[]): Arbitrary<Expression> =>
  fc.tuple(...types.map((type) => literalOf(family, type))).map(joined);

/** Ranges may not overlap: the number in front keeps them apart. */
const rangeOf = (family: AddressFamily, types: readonly TypeName[]): Arbitrary<Expression> => {
  const behind = types.slice(1).map((type) => (type.endsWith('_addr') ? anyRange(family) : literalOf(family, type)));
  return fc.tuple(literalOf(family, 'inet_service'), ...behind).map(joined);
};

const anyRange = (family: AddressFamily): Arbitrary<Expression> => fc.oneof(address(family), prefixOf(family));

/** What makes one element of a set other than another. */
const identity = (isInterval: boolean, [key]: readonly [Expression, ...unknown[]]): string =>
  JSON.stringify(isInterval && typeof key === 'object' && 'concat' in key ? key.concat[0] : key);

type Shape = Pick<SetDeclaration, 'type' | 'map' | 'flags' | 'stmt'> & { readonly types: readonly TypeName[] };

const shapes = (family: AddressFamily): Arbitrary<Shape> =>
  fc
    .record({
      types: fc.array(typesOf(family), { minLength: 1, maxLength: 4 }),
      data: fc.oneof(
        fc.constant(undefined),
        fc.constant('verdict' as const),
        fc.array(typesOf(family), { minLength: 1, maxLength: 3 }).map(oneOrMore),
      ),
      isInterval: fc.boolean(),
      isTimed: fc.boolean(),
      isCounting: fc.boolean(),
    })
    .map(({ types, data, isInterval, isTimed, isCounting }) => {
      // a mark is in the machine's byte order: no ranges beside one
      const isRanged = isInterval && types.length > 1 && !types.slice(1).includes('mark');
      const key = isRanged ? (['inet_service', ...types.slice(1)] as const) : types;
      const flags = [...(isRanged ? ['interval' as const] : []), ...(isTimed ? ['timeout' as const] : [])];
      return {
        types: key,
        type: oneOrMore(key),
        ...(data === undefined ? {} : { map: data }),
        ...(flags.length === 0 ? {} : { flags }),
        ...(isCounting ? { stmt: [{ counter: null }] } : {}),
      };
    });

const counter = fc.record({ packets: fc.nat(), bytes: fc.maxSafeNat() });

const dataOf = (family: AddressFamily, map: SetDeclaration['map']): Arbitrary<Expression | Verdict | undefined> => {
  if (map === undefined) return fc.constant(undefined);
  if (map === 'verdict') return verdict;
  return anyOf(family, typeof map === 'string' ? [map] : (map as readonly TypeName[]));
};

const elementsOf = (family: AddressFamily, { types, map, flags = [], stmt }: Shape): Arbitrary<readonly Element[]> => {
  const isRanged = flags.includes('interval');
  const timeout = flags.includes('timeout') ? fc.option(fc.integer({ min: 60, max: 86_400 })) : fc.constant(null);
  const element = fc.tuple(
    isRanged ? rangeOf(family, types) : anyOf(family, types),
    fc.option(comment),
    timeout,
    dataOf(family, map),
    stmt === undefined ? fc.constant(null) : counter,
  );
  return fc.uniqueArray(element, { selector: (one) => identity(isRanged, one), maxLength: 12 }).map((list) =>
    list.map(([val, text, seconds, data, counted]): Element => {
      const more = {
        ...(seconds === null ? {} : { timeout: seconds }),
        ...(counted === null ? {} : { counter: counted }),
        ...(text === null ? {} : { comment: text }),
      };
      const key: Expression = Object.keys(more).length === 0 ? val : { elem: { val, ...more } };
      return data === undefined ? key : [key, data];
    }),
  );
};

export const randomSet = (family: AddressFamily, name: string): Arbitrary<RandomSet> =>
  shapes(family).chain((shape) => {
    const { types: _, ...declared } = shape;
    return elementsOf(family, shape).map((elements) => ({
      declaration: { family, table: TABLE, name, ...declared },
      elements,
    }));
  });
