import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutItems } from '../../../src/sources/apiserver/list-items.ts';

/** As it would be put together again. */
const parsed = (json: string): { readonly items: readonly unknown[]; readonly rest: unknown } => {
  const pieces = cutItems(Buffer.from(json));
  const items: unknown[] = [];
  for (let next = pieces.next(); ; next = pieces.next()) {
    const value: unknown = JSON.parse(next.value);
    if (next.done === true) return { items, rest: value };
    items.push(value);
  }
};

const json = fc.jsonValue({ depthSize: 'small' });
/** Texts in which there is everything that could lead astray. */
const tricky = fc.string({ unit: fc.constantFrom('"items":[', ']', '}', '{', ',', '\\', '"', 'ü', '😀', ' ') });
const item = fc.oneof(json, tricky, fc.dictionary(tricky, tricky), fc.record({ items: fc.array(json) }));
const beside = fc.dictionary(
  fc.oneof(tricky, fc.constantFrom('metadata', 'kind')).filter((key) => key !== 'items' && key !== '__proto__'),
  item,
);

describe('the items of a list', () => {
  it('are what is in it, and the rest is the list without them', () => {
    const indent = fc.constantFrom('', ' ', '\t', '\n ');
    fc.assert(
      fc.property(beside, fc.array(item), beside, indent, (before, items, after, space) => {
        const text = JSON.stringify({ ...before, items, ...after }, null, space);
        const found = parsed(text);
        expect(found.items).toEqual(JSON.parse(JSON.stringify(items)));
        expect(found.rest).toEqual(JSON.parse(JSON.stringify({ ...before, items: [], ...after })));
      }),
    );
  });

  it('of what has no list of them are none', () => {
    for (const text of [
      '{"items":null}',
      '{"items":"["}',
      '{"a":{"items":[1]}}',
      '[{"items":[1]}]',
      '7',
      '{"x\\"items":[1]}',
    ]) {
      expect(parsed(text)).toEqual({ items: [], rest: JSON.parse(text) });
    }
  });

  it('of what is no JSON, or breaks off, are not JSON either', () => {
    fc.assert(
      fc.property(fc.array(item), fc.nat(), (items, cut) => {
        const text = JSON.stringify({ kind: 'List', items, metadata: {} });
        expect(() => parsed(text.slice(0, cut % text.length))).toThrow(SyntaxError);
      }),
    );
    for (const text of ['{"items":[1 2]}', '{"items":[1,]}', '{"items":[,]}', '{"items":[1}]}', '{"items":[{]}', '']) {
      expect(() => parsed(text), text).toThrow(SyntaxError);
    }
  });
});
