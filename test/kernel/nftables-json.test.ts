/** nf_tables over netlink on a real kernel, without any program of nft's: what is written is read back. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { concat, drop } from '../../src/nftables-json/construct.ts';
import type { Nftables } from '../../src/nftables-json/nftables.ts';
import type { Command, Element, SetDeclaration } from '../../src/nftables-json/schema.ts';
import { FAMILIES, TABLE as RANDOM_TABLE, randomRule, TARGET } from '../nftables-json/random-rules.ts';
import { randomSet } from '../nftables-json/random-sets.ts';
import { BASE, elements, here, PORTS } from './nft-base.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { TABLE, withAffinity } from './nft-ruleset.ts';
import { elementsOf, expectWritten } from './nft-written.ts';
import { describeWith } from './requires.ts';

/** Long enough that nothing expires in a test. */
const LONG = { min: 60, max: 3_600 } as const;

describeWith(NAMESPACE_NEEDS, 'nf_tables over netlink', () => {
  let namespace: Namespace;
  let nftables: Nftables;
  beforeEach(() => {
    namespace = createNamespace();
    nftables = namespace.nftables;
  });
  afterEach(() => namespace.remove());

  describe('what a transaction writes', () => {
    it.each(FAMILIES)('is read back: everything there is, in family %s', async (family) => {
      nftables.run(withAffinity(family));
      await expectWritten(nftables, TABLE, withAffinity(family));
    });

    it.each(FAMILIES)('is read back: random rules, sets and elements, in family %s', async (family) => {
      const rules = fc.sample(randomRule(family), 300);
      const sets = Array.from({ length: 100 }, (_, i) => fc.sample(randomSet(family, `s${i}`), 1)).flat();
      const place = { family, table: RANDOM_TABLE };
      const declarations = new Map(
        [...rules.flatMap((one) => one.sets), ...sets.map(({ declaration }) => declaration)].map((set) => [
          set.name,
          set,
        ]),
      );
      const commands: readonly Command[] = [
        { add: { table: { family, name: RANDOM_TABLE } } },
        ...[...declarations.values()].map((set): Command => ({ add: set.map === undefined ? { set } : { map: set } })),
        ...[TARGET, 'rules'].map((name): Command => ({ add: { chain: { ...place, name } } })),
        ...rules.map(({ statements }): Command => ({ add: { rule: { ...place, chain: 'rules', expr: statements } } })),
        ...sets.flatMap(({ declaration: { name }, elements }): readonly Command[] =>
          elements.length === 0 ? [] : [{ add: { element: { ...place, name, elem: elements } } }],
        ),
      ];
      nftables.run(commands);
      await expectWritten(nftables, RANDOM_TABLE, commands);
    });

    it('has times that run out', async () => {
      const set: SetDeclaration = { ...here, name: 'timed', type: 'mark', flags: ['timeout'], timeout: LONG.max };
      const timed: Element = { elem: { val: 2, timeout: LONG.min, comment: 'a minute' } };
      nftables.run([
        { add: { table: { family: 'ip', name: 't' } } },
        { add: { set } },
        { add: elements('timed', 1, timed) },
      ]);
      const found = await elementsOf(nftables, set);
      expect(found).toHaveLength(2);
      for (const one of found) {
        if (typeof one !== 'object' || !('elem' in one)) throw new Error('without a time');
        const { val, timeout, expires, comment } = one.elem;
        expect([val, comment]).toEqual(val === 1 ? [1, undefined] : [2, 'a minute']);
        const limit = timeout ?? LONG.max;
        expect(limit).toBe(val === 1 ? LONG.max : LONG.min);
        expect(expires).toBeGreaterThan(limit - 30);
        expect(expires).toBeLessThanOrEqual(limit);
      }
    });

    it('is all there when it takes many transactions: 100,000 elements', async () => {
      // with a size: of a set that grows, and is moved to a larger hash table behind the reader's back, a list is not of one piece
      const key = ['ipv4_addr', 'inet_service'] as const;
      const set: SetDeclaration = { ...here, name: 'many', type: key, map: 'mark', size: 1 << 17 };
      nftables.run([{ add: { table: { family: 'ip', name: 't' } } }, { add: { map: set } }]);
      const parts = 10;
      const size = 10_000;
      for (let part = 0; part < parts; part += 1) {
        const elem = Array.from({ length: size }, (_, i): Element => {
          const number = part * size + i;
          return [concat(`10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`, part), number];
        });
        nftables.run([{ add: elements('many', ...elem) }], { sets: [set] });
      }
      const numbers = (await elementsOf(nftables, set)).map((one) => (one as readonly [unknown, number])[1]);
      expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: parts * size }, (_, i) => i));
    });
  });

  describe('a table', () => {
    it('that is not there is undefined', () => {
      expect(nftables.list('ip', 't')).toBeUndefined();
      nftables.run([{ add: { table: { family: 'ip6', name: 't' } } }]);
      expect(nftables.list('ip', 't')).toBeUndefined();
      expect(nftables.list('ip6', 't')).toEqual({ isDormant: false, chains: [], rules: [], sets: [] });
    });

    it('is read without what other tables have', async () => {
      nftables.run(BASE);
      const other = { ...here, table: 'other' };
      nftables.run([
        { add: { table: { family: 'ip', name: 'other' } } },
        { add: { chain: { ...other, name: 'c' } } },
        { add: { rule: { ...other, chain: 'c', expr: [drop] } } },
        { add: { set: { ...PORTS, table: 'other' } } },
      ]);
      await expectWritten(nftables, 't', BASE);
    });

    it('may be added again: what is there stays', async () => {
      nftables.run(BASE);
      nftables.run(BASE.filter((command) => !('add' in command && 'rule' in command.add)));
      await expectWritten(nftables, 't', BASE);
    });

    it('is removed with all that is in it', () => {
      nftables.run(BASE);
      nftables.run([{ delete: { table: { family: 'ip', name: 't' } } }]);
      expect(nftables.list('ip', 't')).toBeUndefined();
    });
  });
});
