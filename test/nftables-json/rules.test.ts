import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode, nest, sizeOf, text } from '../../src/netlink/attributes.ts';
import {
  bits,
  concat,
  ct,
  dnat,
  mangle,
  mapUpdate,
  match,
  meta,
  payload,
  prefix,
} from '../../src/nftables-json/construct.ts';
import { delinearize } from '../../src/nftables-json/delinearize.ts';
import { EXPRESSION } from '../../src/nftables-json/kernel-expression.ts';
import { linearize } from '../../src/nftables-json/linearize.ts';
import { LIST_ELEMENT } from '../../src/nftables-json/messages.ts';
import type { Numgen, Statement } from '../../src/nftables-json/schema.ts';
import { FAMILIES, randomRule } from './random-rules.ts';

/** As the kernel keeps and shows a rule's expressions. */
const listOf = (statements: readonly Statement[]): Buffer => {
  const expressions = statements
    .flatMap(linearize)
    .map(({ name, attributes }) =>
      nest(LIST_ELEMENT, [text(EXPRESSION.NAME, name), nest(EXPRESSION.DATA, attributes)]),
    );
  const list = Buffer.alloc(sizeOf(expressions));
  encode(list, 0, expressions);
  return list;
};

const readBack = (...statements: readonly Statement[]): readonly Statement[] => delinearize(listOf(statements));

const counter: Numgen = { numgen: { mode: 'inc', mod: 9, offset: 3 } };

describe('a rule', () => {
  it.each(FAMILIES)('is read back as it was written, whatever it says, in family %s', (family) => {
    fc.assert(
      fc.property(randomRule(family), ({ statements }) => {
        expect(readBack(...statements)).toEqual(statements);
      }),
      { numRuns: 2_000 },
    );
  });

  const mark = meta('mark');
  const port = payload('th', 'dport');
  const special: readonly (readonly [string, Statement])[] = [
    ['a comparison of flipped bits', match(bits(mark, '^', 0x80000001), '==', 0xffffffff)],
    ['a map filled by one field', mapUpdate('m', payload('ip', 'saddr'), port, 5)],
    ['a map filled by an address of 16 bytes', mapUpdate('m', payload('ip6', 'saddr'), port, 5)],
    ['a map filled without a time-out', { map: { op: 'add', elem: port, data: mark, map: '@m' } }],
    ['a number that counts up, from elsewhere than zero', match(counter, '==', 7)],
    ['an interface of the longest name', match(meta('iifname'), '==', 'fifteen-letters')],
  ];
  it.each(special)('is read back: %s', (_, statement) => {
    expect(readBack(statement)).toEqual([statement]);
  });

  it('may match a prefix of every length', () => {
    for (let length = 0; length < 32; length += 1) {
      const bits = length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
      const addr = [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.');
      const statement = match(payload('ip', 'saddr'), '==', prefix(addr, length));
      expect(readBack(statement)).toEqual([statement]);
    }
  });

  it('with a prefix as long as the address is one with the address', () => {
    const source = payload('ip6', 'saddr');
    expect(readBack(match(source, '!=', prefix('fd00::1', 128)))).toEqual([match(source, '!=', 'fd00::1')]);
  });

  it.each([8, 12])('with a prefix of %i bits does not look at what the address has behind it', (length) => {
    const source = payload('ip', 'saddr');
    expect(listOf([match(source, '==', prefix('10.1.2.3', length))])).toEqual(
      listOf([match(source, '==', prefix('10.0.0.0', length))]),
    );
  });
});

describe('what has no place in a rule', () => {
  const destination = payload('ip', 'daddr');
  const cases: readonly (readonly [string, Statement])[] = [
    ['a prefix of what is no header field', match(meta('mark'), '==', prefix('10.0.0.0', 8))],
    ['a comparison with another field', match(destination, '==', payload('ip', 'saddr'))],
    ['a comparison of several fields', match(concat(destination, meta('l4proto')), '==', '10.0.0.1')],
    ['a bit that conntrack has not', match(ct('state'), 'in', 'newer')],
    ['bits of what has none', match(meta('mark'), 'in', 'new')],
    ['a protocol without a number', match(meta('l4proto'), '==', 'none-such')],
    ['a port that is no number', match(payload('th', 'dport'), '==', 'http')],
    ['a field that the header has not', match(payload('ip', 'dport'), '==', 80)],
    ['a change of what is read only', mangle(ct('mark'), bits(meta('mark'), '&', 1))],
    ['a constant in a mark', mangle(meta('mark'), 9)],
    ['an address without a map', dnat('ip', '10.0.0.1')],
    ['what was read and has no words', { xt: { type: 'unknown', name: 'quota' } }],
  ];

  it.each(cases)('is refused: %s', (_, statement) => {
    expect(() => linearize(statement)).toThrow(TypeError);
  });
});

describe('an expression that the library has no words for', () => {
  const expression = (name: string) => {
    const attributes = [nest(LIST_ELEMENT, [text(EXPRESSION.NAME, name), nest(EXPRESSION.DATA, [])])];
    const list = Buffer.alloc(sizeOf(attributes));
    encode(list, 0, attributes);
    return list;
  };

  it('comes back by its name, and what follows is read', () => {
    const list = Buffer.concat([expression('quota'), listOf([{ drop: null }])]);
    expect(delinearize(list)).toEqual([{ xt: { type: 'unknown', name: 'quota' } }, { drop: null }]);
  });

  it.each([
    'cmp',
    'lookup',
    'bitwise',
    'nat',
    'meta',
    'payload',
    'ct',
    'immediate',
    'reject',
    'dynset',
    'numgen',
    'fib',
  ])('does not stop the reader when it is an empty %s', (name) => {
    expect(() => delinearize(Buffer.concat([expression(name), listOf([{ accept: null }])]))).not.toThrow();
  });
});
