/** Several slices to the endpoints of one service port. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endpoint, type Fields } from './objects.ts';
import { addresses, conditions, merge, one, slice } from './slices.ts';

describe('several slices of a Service', () => {
  it.each([
    // L11: each port has the endpoints of the slices that name it
    [
      'with different ports',
      [slice('1', ['10.0.0.1']), slice('2', ['10.0.0.2'], { ports: [{ name: 'q', port: 1 }] })],
      ['10.0.0.1 8080'],
    ],
    // L12: byte order of the text, in which .11 comes before .1:
    [
      'with other addresses',
      [slice('1', ['10.1.1.1', '10.1.1.2']), slice('2', ['10.1.1.11'])],
      ['10.1.1.11 8080', '10.1.1.1 8080', '10.1.1.2 8080'],
    ],
    // L13
    [
      'with one address on two ports',
      [slice('1', ['10.0.0.1']), slice('2', ['10.0.0.1'], { ports: [{ name: 'p', port: 81 }] })],
      ['10.0.0.1 8080', '10.0.0.1 81'],
    ],
    [
      'with one address twice',
      [slice('1', ['10.0.0.1']), slice('2', ['10.0.0.1', '10.0.0.2'])],
      ['10.0.0.1 8080', '10.0.0.2 8080'],
    ],
    ['with one address in two spellings', [slice('1', ['10.0.0.1']), slice('2', ['010.0.0.001'])], ['10.0.0.1 8080']],
    // L16
    [
      'one of them FQDN',
      [slice('1', ['10.0.0.1']), slice('2', ['example.org'], { addressType: 'FQDN' })],
      ['10.0.0.1 8080'],
    ],
    [
      'one of them IPv6',
      [slice('1', ['10.0.0.1']), slice('2', ['fd00::1'], { addressType: 'IPv6' })],
      ['10.0.0.1 8080'],
    ],
    ['none', [], []],
  ])('%s', (_, objects, expected) => {
    expect(addresses(objects)).toEqual(expected);
    expect(addresses(objects.toReversed())).toEqual(expected);
  });

  it('of both families: each family has its own', () => {
    const both = [slice('1', ['10.0.0.1']), slice('2', ['FD00:0::1'], { addressType: 'IPv6' })];
    expect(addresses(both, { family: 'IPv6' })).toEqual(['fd00::1 8080']);
  });

  it.each([
    // L15
    [
      'terminating and ready, ready, terminating',
      [conditions(true, true, true), conditions(true), conditions(false, false, true)],
      conditions(true),
    ],
    ['ready goes before not ready', [conditions(false, false), conditions(true)], conditions(true)],
    [
      'not ready goes before terminating',
      [conditions(false, false, true), conditions(false, false)],
      conditions(false, false),
    ],
    [
      'draining goes before dead',
      [conditions(false, false, true), conditions(true, true, true)],
      conditions(true, true, true),
    ],
  ])('that disagree about one address: %s', (_, claims, winner) => {
    const slices = claims.map((claim, i) => one(claim, String(i)));
    const [expected] = merge([one(winner)]);
    expect(merge(slices)).toEqual([expected]);
    expect(merge(slices.toReversed())).toEqual([expected]);
  });

  it('that only disagree about where it is: the first slice by name counts', () => {
    const slices = [one({ nodeName: 'node1' }, 'b'), one({ nodeName: 'node2' }, 'a')];
    expect(merge(slices)).toEqual([endpoint('10.200.0.11', { isLocal: false })]);
    expect(merge(slices.toReversed())).toEqual(merge(slices));
  });

  it('give the same endpoints in whatever order slices and endpoints come', () => {
    const claim = fc.record({
      address: fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.11'),
      suffix: fc.constantFrom('a', 'b', 'c'),
      ready: fc.boolean(),
      terminating: fc.boolean(),
      nodeName: fc.constantFrom('node1', 'node2'),
    });
    // one slice says one thing of an address
    const claims = fc.uniqueArray(claim, { selector: (c) => `${c.suffix} ${c.address}`, maxLength: 9 });
    const slicesOf = (all: readonly { readonly suffix: string; readonly address: string }[]): readonly Fields[] =>
      [...new Set(all.map(({ suffix }) => suffix))].map((suffix) => {
        const members = all.filter((member) => member.suffix === suffix);
        const endpoints = members.map(({ address, ...rest }) => ({ addresses: [address], ...rest, conditions: rest }));
        return slice(suffix, [], { ports: [{ name: 'p', port: suffix === 'c' ? 81 : 80 }], endpoints });
      });
    const reordered = claims.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    fc.assert(
      fc.property(reordered, ([all, shuffled]) => {
        expect(merge(slicesOf(shuffled))).toEqual(merge(slicesOf(all)));
      }),
      { numRuns: 300 },
    );
  });
});
