/** Which slot holds which endpoint: no gap, nobody twice, and as little change as can be. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fillSlots } from '../../../src/backends/nftables/slots.ts';

const targets = fc.constantFrom(...Array.from({ length: 12 }, (_, n) => `10.0.0.${n} . 80`));
const wanted = fc.uniqueArray(targets, { maxLength: 12 });
/** What somebody else left: with holes, and with the same endpoint twice. */
const anything = fc.array(fc.option(targets, { nil: undefined }), { maxLength: 16 });

describe('slots', () => {
  it('hold everybody who is wanted once and nobody else, whatever they held before', () => {
    fc.assert(
      fc.property(anything, wanted, (former, wants) => {
        expect([...fillSlots(former, wants)].sort()).toEqual([...wants].sort());
      }),
    );
  });

  it('change as many places as endpoints came and had to move, and no others', () => {
    fc.assert(
      fc.property(wanted, wanted, (former, wants) => {
        const filled = fillSlots(former, wants);
        const came = wants.filter((target) => !former.includes(target));
        const left = former.filter((target) => !wants.includes(target));
        const fromBehind = former.slice(wants.length).filter((target) => wants.includes(target));
        const changed = Array.from({ length: Math.max(former.length, filled.length) }, (_, slot) => slot).filter(
          (slot) => former[slot] !== filled[slot],
        );
        expect(changed.length).toBeLessThanOrEqual(came.length + left.length + fromBehind.length);
        const rewritten = changed.filter((slot) => slot < wants.length);
        expect(rewritten.length).toBe(came.length + fromBehind.length);
      }),
    );
  });

  it('are left as they are by the same endpoints in another order', () => {
    fc.assert(
      fc.property(anything, wanted, (former, wants) => {
        const filled = fillSlots(former, wants);
        expect(fillSlots(filled, wants)).toEqual(filled);
        expect(fillSlots(filled, [...wants].reverse())).toEqual(filled);
      }),
    );
  });

  it.each([
    ['one that leaves has its place taken by one that comes', ['a', 'b', 'c'], ['a', 'x', 'c'], ['a', 'x', 'c']],
    ['one that leaves has its place taken by the last', ['a', 'b', 'c', 'd'], ['a', 'c', 'd'], ['a', 'd', 'c']],
    ['the last leaves without a trace', ['a', 'b', 'c'], ['a', 'b'], ['a', 'b']],
    ['one that comes stands behind', ['a', 'b'], ['x', 'a', 'b'], ['a', 'b', 'x']],
    ['a gap is filled', ['a', undefined, 'b'], ['a', 'b', 'c'], ['a', 'c', 'b']],
    ['one that is there twice stays once', ['a', 'a', 'b'], ['a', 'b', 'c'], ['a', 'c', 'b']],
    ['nobody is left of nobody', ['a', 'b'], [], []],
  ] as const)('%s', (_, former, wants, filled) => {
    expect(fillSlots(former, wants)).toEqual(filled);
  });
});
