import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from '../../../src/sources/apiserver/lines.ts';

describe('a line splitter', () => {
  it('gives the same lines wherever the bytes were cut', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'ü', '€', '😀', '\n', '\r', '\u2028') });
    fc.assert(
      fc.property(text, fc.array(fc.nat(5)), (whole, cuts) => {
        const bytes = Buffer.from(whole);
        const splitter = new LineSplitter();
        const lines: string[] = [];
        let at = 0;
        for (const length of [...cuts, bytes.length]) {
          lines.push(...splitter.push(bytes.subarray(at, at + length)));
          at += length;
        }
        const expected = whole.split('\n');
        const rest = expected.pop() ?? '';
        expect(lines).toEqual(expected);
        expect(splitter.pending).toBe(Buffer.byteLength(rest));
      }),
    );
  });

  it('does not collect an endless line', () => {
    const splitter = new LineSplitter();
    const chunk = Buffer.alloc(16 * 1024 * 1024, 'x');
    for (let i = 0; i < 4; i++) splitter.push(chunk);
    expect(() => splitter.push(chunk)).toThrow(/a line of more than/);
  });
});
