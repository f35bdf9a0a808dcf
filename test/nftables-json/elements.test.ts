import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeList } from '../../src/netlink/attributes.ts';
import { concat, element, goto, prefix } from '../../src/nftables-json/construct.ts';
import { decodeElement, elementFormat, encodeElements, keyOf } from '../../src/nftables-json/elements.ts';
import type { Element, SetDeclaration } from '../../src/nftables-json/schema.ts';
import { FAMILIES } from './random-rules.ts';
import { randomSet } from './random-sets.ts';

const ALL = 1 << 30;
const here = { family: 'ip', table: 't', name: 's' } as const;
const ranges: SetDeclaration = { ...here, type: ['inet_service', 'ipv4_addr'], flags: ['interval'] };
const verdicts: SetDeclaration = { ...here, type: 'inet_service', map: 'verdict' };

const encoded = (set: SetDeclaration, elements: readonly Element[], maxBytes = ALL, isDeletion = false) =>
  encodeElements(elementFormat(set), elements, isDeletion, maxBytes);

const decoded = (set: SetDeclaration, lists: readonly Buffer[]) =>
  lists.flatMap((list) => decodeList(list).map(([, content]) => decodeElement(elementFormat(set), content)));

const readBack = (set: SetDeclaration, ...elements: readonly Element[]) => decoded(set, encoded(set, elements));

describe('elements', () => {
  it.each(FAMILIES)('are read back as they were written, whatever they are, in family %s', (family) => {
    fc.assert(
      fc.property(randomSet(family, 's'), ({ declaration, elements }) => {
        expect(readBack(declaration, ...elements)).toEqual(elements);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(FAMILIES)('fit, in their order, in as many lists as it takes, in family %s', (family) => {
    const maxBytes = 700;
    fc.assert(
      fc.property(randomSet(family, 's'), ({ declaration, elements }) => {
        const lists = encoded(declaration, elements, maxBytes);
        expect(lists.filter((list) => list.length === 0 || list.length > maxBytes)).toEqual([]);
        expect(decoded(declaration, lists)).toEqual(elements);
      }),
    );
  });

  it('with a prefix begin and end at its limits, whatever the address has behind it', () => {
    expect(readBack(ranges, concat(80, prefix('10.1.2.3', 12)))).toEqual([concat(80, prefix('10.0.0.0', 12))]);
    expect(readBack(ranges, concat(80, prefix('10.1.2.3', 32)))).toEqual([concat(80, '10.1.2.3')]);
    expect(readBack(ranges, concat(80, prefix('10.1.2.3', 0)))).toEqual([concat(80, prefix('0.0.0.0', 0))]);
  });

  it('are deleted by their key alone', () => {
    const pair: Element = [element(80, 'a comment'), goto('somewhere')];
    expect(encoded(verdicts, [pair], ALL, true)).toEqual(encoded({ ...here, type: 'inet_service' }, [80]));
  });

  it('may have comments in any script, cut where the kernel has no room for more', () => {
    const set: SetDeclaration = { ...here, type: 'inet_service' };
    const comments = ['wörter, 言葉, 🚂', 'a'.repeat(127)];
    expect(readBack(set, ...comments.map((comment) => element(1, comment)))).toEqual(
      comments.map((comment) => element(1, comment)),
    );
    expect(readBack(set, element(1, 'a'.repeat(200)))).toEqual([element(1, 'a'.repeat(127))]);
  });

  it('have a key, with and without data and a comment', () => {
    expect(keyOf(80)).toBe(80);
    expect(keyOf([80, goto('x')])).toBe(80);
    expect(keyOf([element(80, 'c'), goto('x')])).toEqual(element(80, 'c'));
  });

  const wrong: readonly (readonly [string, SetDeclaration, Element])[] = [
    ['too few fields', ranges, 80],
    ['too many fields', { ...here, type: 'mark' }, concat(1, 2)],
    ['no data in a map', verdicts, 80],
    ['data of too few fields', { ...here, type: 'mark', map: ['ipv4_addr', 'inet_service'] }, [1, '10.0.0.1']],
    ['a name instead of a port', verdicts, ['http', goto('x')]],
    ['an address of the other family', { ...here, type: 'ipv4_addr' }, 'fd00::1'],
    ['an expression that is no constant', { ...here, type: 'mark' }, { meta: { key: 'mark' } }],
  ];
  it.each(wrong)('are refused with %s', (_, set, wrongElement) => {
    expect(() => encoded(set, [wrongElement])).toThrow(TypeError);
  });
});
