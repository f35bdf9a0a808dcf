import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../src/config/duration.ts';

describe('Go durations', () => {
  it.each([
    ['0', 0, '0s'],
    ['0s', 0, '0s'],
    ['30s', 30_000, '30s'],
    ['1h30m', 5_400_000, '1h30m0s'],
    ['24h', 86_400_000, '24h0m0s'],
    ['1.5s', 1_500, '1.5s'],
    ['.5s', 500, '500ms'],
    ['1.s', 1_000, '1s'],
    ['100ms', 100, '100ms'],
    ['90s', 90_000, '1m30s'],
    ['1µs', 0.001, '1µs'],
    ['1μs', 0.001, '1µs'],
    ['1us', 0.001, '1µs'],
    ['1500ns', 0.0015, '1.5µs'],
    ['7ns', 0.000007, '7ns'],
    ['-1m', -60_000, '-1m0s'],
    ['+2s', 2_000, '2s'],
    ['1m1.25s', 61_250, '1m1.25s'],
    ['2562047h47m16.854775807s', 9_223_372_036_854.775, undefined],
  ])('%s is %d ms', (text, milliseconds, printed) => {
    expect(parseDuration(text)).toBeCloseTo(milliseconds, 9);
    if (printed !== undefined) expect(formatDuration(milliseconds)).toBe(printed);
  });

  it.each(['', ' ', '30', '1', 's', '.s', '1x', '1s ', ' 1s', '1 s', '--1s', '1S', '1d', '2562048h', '1e3s', '-'])(
    '%j is none',
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it('comes back from its text, to the nanosecond', () => {
    const nanoseconds = fc.oneof(
      fc.integer({ min: 0, max: 2_000_000_000 }),
      fc.integer({ min: 0, max: 9_000_000_000_000_000 }),
    );
    fc.assert(
      fc.property(nanoseconds, fc.boolean(), (count, negative) => {
        const milliseconds = (negative ? 0 - count : count) / 1e6; // never -0
        expect(Math.round((parseDuration(formatDuration(milliseconds)) ?? Number.NaN) * 1e6)).toBe(
          Math.round(milliseconds * 1e6),
        );
      }),
    );
  });

  it('prints what it reads in one form: printing again changes nothing', () => {
    const term = fc.tuple(fc.integer({ min: 0, max: 9999 }), fc.constantFrom('ns', 'us', 'ms', 's', 'm', 'h'));
    fc.assert(
      fc.property(fc.array(term, { minLength: 1, maxLength: 4 }), (terms) => {
        const once = formatDuration(parseDuration(terms.map(([n, unit]) => `${n}${unit}`).join('')) ?? Number.NaN);
        expect(formatDuration(parseDuration(once) ?? Number.NaN)).toBe(once);
      }),
    );
  });
});
