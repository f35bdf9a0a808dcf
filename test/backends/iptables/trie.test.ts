import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Trie, type TriePage } from '../../../src/backends/iptables/trie.ts';

const KEY_DIGITS = 6;

/** Applies what a trie says it changed, as the kernel would. */
const follow = (pages: Map<string, TriePage<string>>, trie: Trie<string>): void => {
  const { written, dropped } = trie.flush();
  for (const label of dropped) {
    expect(pages.has(label), `drops ${label}, which is there`).toBe(true);
    pages.delete(label);
  }
  for (const page of written) pages.set(page.label, page);
};

const plain = (pages: ReadonlyMap<string, TriePage<string>>): unknown =>
  [...pages].sort(([a], [b]) => (a < b ? -1 : 1));

const fresh = (entries: ReadonlyMap<string, string>, root = 5, leaf = 2): Map<string, TriePage<string>> => {
  const trie = new Trie<string>(root, leaf);
  for (const [key, entry] of [...entries].reverse()) trie.set(key, entry);
  const pages = new Map<string, TriePage<string>>();
  follow(pages, trie);
  return pages;
};

const key = fc.integer({ min: 0, max: 4 ** KEY_DIGITS - 1 }).map((n) => n.toString(4).padStart(KEY_DIGITS, '0'));
/** Few and close together, so that keys meet again and pages split and join. */
const closeKey = fc.integer({ min: 0, max: 40 }).map((n) => (n * 7).toString(4).padStart(KEY_DIGITS, '1'));
const step = fc.record({ key: fc.oneof(key, closeKey), remove: fc.boolean(), flush: fc.boolean() });

describe('the trie', () => {
  it('is flat up to its capacity, then one page a digit', () => {
    const entries = new Map(['000000', '011111', '100000', '222222', '333333'].map((k) => [k, k]));
    expect(plain(fresh(entries))).toEqual([['', { label: '', entries: [...entries.keys()] }]]);
    entries.set('333330', '333330');
    expect(plain(fresh(entries))).toEqual([
      ['', { label: '', items: [{ page: '0' }, { entry: '100000' }, { entry: '222222' }, { page: '3' }] }],
      ['0', { label: '0', entries: ['000000', '011111'] }],
      ['3', { label: '3', entries: ['333330', '333333'] }],
    ]);
  });

  it('has the same layout whatever the history of its entries', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const trie = new Trie<string>(5, 2);
        const pages = new Map<string, TriePage<string>>();
        const entries = new Map<string, string>();
        for (const { key: k, remove, flush } of steps) {
          if (remove) {
            trie.delete(k);
            entries.delete(k);
          } else {
            trie.set(k, k);
            entries.set(k, k);
          }
          if (flush) follow(pages, trie);
        }
        follow(pages, trie);
        expect(trie.size).toBe(entries.size);
        const isEmpty = [...pages.values()].every((page) => 'entries' in page && page.entries.length === 0);
        if (entries.size === 0) expect(isEmpty).toBe(true);
        else expect(plain(pages)).toEqual(plain(fresh(entries)));
      }),
      { numRuns: 500 },
    );
  });

  it('leads to every entry by its own digits, past few others', () => {
    fc.assert(
      fc.property(fc.uniqueArray(key, { maxLength: 200 }), (keys) => {
        const pages = fresh(new Map(keys.map((k) => [k, k])), 10, 4);
        for (const k of keys) {
          let label = '';
          for (let depth = 0; depth <= KEY_DIGITS; depth += 1) {
            const page = pages.get(label);
            if (page === undefined) throw new Error(`no page ${label}`);
            if ('entries' in page) {
              expect(page.entries).toContain(k);
              return;
            }
            expect(page.items.length).toBeLessThanOrEqual(4);
            const item = page.items.find((i) => ('page' in i ? k.startsWith(i.page) : i.entry === k));
            if (item === undefined) throw new Error(`${k} is not below ${label}`);
            if ('entry' in item) return;
            label = item.page;
          }
        }
      }),
    );
  });

  it('changes a page or two for one entry among many', () => {
    const trie = new Trie<string>(50, 8);
    for (let n = 0; n < 4_000; n += 1) trie.set(n.toString(4).padStart(KEY_DIGITS, '0'), String(n));
    trie.flush();
    for (const n of [4_000, 4_001, 4_040]) {
      trie.set(n.toString(4).padStart(KEY_DIGITS, '0'), String(n));
      const { written, dropped } = trie.flush();
      expect(dropped).toEqual([]);
      // its page, and those above it that are looked at again without a change
      expect(written.length).toBeLessThanOrEqual(KEY_DIGITS + 1);
    }
  });

  it('says which entries stand in a page', () => {
    const trie = new Trie<string>(2, 2);
    for (const k of ['000000', '000001', '300000', '310000']) trie.set(k, `entry ${k}`);
    trie.flush();
    expect(trie.entriesOf('')).toEqual([]);
    expect(trie.entriesOf('0')).toEqual(['entry 000000', 'entry 000001']);
    trie.delete('310000');
    trie.flush();
    expect(trie.entriesOf('')).toEqual(['entry 300000']);
  });
});
