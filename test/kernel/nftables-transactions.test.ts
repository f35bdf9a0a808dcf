/** Transactions on a real kernel: what is refused is named and undone, and what others do meanwhile is noticed. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ERRNO } from '../../src/netlink/error.ts';
import { concat, drop, element, goto, jump } from '../../src/nftables-json/construct.ts';
import { Nftables, TransactionError } from '../../src/nftables-json/nftables.ts';
import type { Command, Element } from '../../src/nftables-json/schema.ts';
import { TableWatch } from '../../src/nftables-json/watch.ts';
import { BASE, DATA, elements, here, KNOWN, MAP, PORTS, rule } from './nft-base.ts';
import { createNamespace, NAMESPACE_NEEDS, type Namespace } from './nft-namespace.ts';
import { byChain, elementsOf, expectWritten } from './nft-written.ts';
import { describeWith } from './requires.ts';

/** The kernel's own, which errno(3) does not name: to be tried again. */
const ERESTART = 85;

describeWith(NAMESPACE_NEEDS, 'a transaction of nf_tables', () => {
  let namespace: Namespace;
  let nftables: Nftables;
  beforeEach(() => {
    namespace = createNamespace();
    nftables = namespace.nftables;
  });
  afterEach(() => namespace.remove());

  const refusal = (commands: readonly Command[], options: Parameters<Nftables['run']>[1] = KNOWN): TransactionError => {
    try {
      nftables.run(commands, options);
    } catch (error) {
      if (error instanceof TransactionError) return error;
      throw error;
    }
    throw new Error('it was not refused');
  };

  describe('a change', () => {
    beforeEach(() => nftables.run(BASE));

    it('of a map’s element is a deletion and an addition in one transaction', async () => {
      const next: Element = [0, concat('10.0.0.2', 9090)];
      expect(refusal([{ add: elements('data', next) }])).toMatchObject({ errno: ERRNO.EEXIST, commands: [0] });
      nftables.run([{ delete: elements('data', 0) }, { add: elements('data', next) }], KNOWN);
      expect(await elementsOf(nftables, DATA)).toEqual([next]);
      // the key alone counts for a deletion
      nftables.run([{ delete: elements('data', [element(0, 'whatever'), concat('1.2.3.4', 5)]) }], KNOWN);
      expect(await elementsOf(nftables, DATA)).toEqual([]);
    });

    it('of a chain’s rules is a flush and additions', () => {
      nftables.run([{ flush: { chain: { ...here, name: 'user' } } }, rule('user', drop), rule('user', goto('used'))]);
      expect(byChain(nftables.list('ip', 't')?.rules ?? [])).toEqual({ user: [[drop], [goto('used')]] });
    });

    it('may empty sets and maps, and remove them', async () => {
      nftables.run([{ flush: { set: PORTS } }, { flush: { map: MAP } }]);
      expect([await elementsOf(nftables, PORTS), await elementsOf(nftables, MAP)]).toEqual([[], []]);
      nftables.run([{ delete: { set: PORTS } }, { delete: { map: MAP } }, { delete: { map: DATA } }]);
      expect(nftables.list('ip', 't')?.sets).toEqual([]);
    });

    it('is counted', () => {
      const before = nftables.generation();
      expect(nftables.generation()).toBe(before);
      nftables.run([{ add: elements('ports', 1) }], KNOWN);
      expect(nftables.generation()).toBe(before + 1);
    });
  });

  describe('what is refused', () => {
    beforeEach(() => nftables.run(BASE));
    const unchanged = () => expectWritten(nftables, 't', BASE);

    it('is named, and nothing of its transaction is done', async () => {
      const error = refusal([
        { delete: elements('ports', 80) },
        { add: elements('ports', 1) },
        rule('user', jump('nowhere')),
      ]);
      expect(error).toMatchObject({ errno: ERRNO.ENOENT, commands: [2] });
      expect(error.message).toMatch(/^add rule ip t user jump nowhere: ENOENT/);
      await unchanged();
    });

    it('is named with all others that are refused', async () => {
      const error = refusal([
        { delete: elements('ports', 7) },
        { add: elements('ports', 1) },
        { delete: elements('ports', 8) },
      ]);
      expect(error).toMatchObject({ errno: ERRNO.ENOENT, commands: [0, 2] });
      await unchanged();
    });

    it('may be the removal of a chain that is in use', async () => {
      expect(refusal([{ delete: { chain: { ...here, name: 'used' } } }])).toMatchObject({
        errno: ERRNO.EBUSY,
        commands: [0],
      });
      await unchanged();
      nftables.run(
        [
          { delete: elements('map', concat('10.0.0.1', 80)) },
          { flush: { chain: { ...here, name: 'user' } } },
          { delete: { chain: { ...here, name: 'used' } } },
        ],
        KNOWN,
      );
      expect(nftables.list('ip', 't')?.chains).toEqual([{ ...here, name: 'user' }]);
    });

    it('may be a loop', async () => {
      const base: Command = { add: { chain: { ...here, name: 'base', type: 'filter', hook: 'input', prio: 0 } } };
      expect(refusal([base, rule('base', jump('user')), rule('used', goto('user'))])).toMatchObject({
        errno: ERRNO.EMLINK,
      });
      await unchanged();
    });

    it('may be all of it, where somebody wrote since the generation that was expected', async () => {
      const generation = nftables.generation();
      nftables.run([{ add: elements('ports', 1) }], { ...KNOWN, generation });
      const error = refusal([{ delete: elements('ports', 1) }], { ...KNOWN, generation });
      expect(error).toMatchObject({ errno: ERESTART, commands: [] });
      expect(await elementsOf(nftables, PORTS)).toHaveLength(3);
      nftables.run([{ delete: elements('ports', 1) }], { ...KNOWN, generation: nftables.generation() });
      await unchanged();
    });

    it('may be all of it, where somebody removed the table', () => {
      nftables.run([{ delete: { table: { family: 'ip', name: 't' } } }]);
      expect(refusal([{ add: elements('ports', 1) }, rule('user', drop)])).toMatchObject({
        errno: ERRNO.ENOENT,
        commands: [0, 1],
      });
      expect(nftables.list('ip', 't')).toBeUndefined();
    });

    it('is found by a check too, which changes nothing either way', async () => {
      const generation = nftables.generation();
      nftables.check([{ delete: elements('ports', 80) }, rule('user', drop)], KNOWN);
      expect(() => nftables.check([{ delete: elements('ports', 7) }], KNOWN)).toThrow(TransactionError);
      await unchanged();
      expect(nftables.generation()).toBe(generation);
    });
  });

  describe('of somebody else', () => {
    const addition: Command = { add: elements('ports', 8080) };
    let other: Nftables;
    let watch: TableWatch;
    beforeEach(() => {
      nftables.run(BASE);
      other = namespace.enter(() => Nftables.open());
      watch = namespace.enter(() => TableWatch.open({ family: 'ip', name: 't' }, nftables.port));
    });
    afterEach(() => {
      other.close();
      watch.close();
    });

    it('is heard by a watch on the table, and what the watcher writes itself is not', () => {
      expect(watch.hasChanged()).toBe(false);
      nftables.run([addition], KNOWN);
      expect(watch.hasChanged()).toBe(false);
      other.run([{ delete: elements('ports', 8080) }], KNOWN);
      expect(watch.hasChanged()).toBe(true);
      expect(watch.hasChanged()).toBe(false);
    });

    it('is not heard where it is of another table, refused, or only checked', () => {
      other.run([{ add: { table: { family: 'ip6', name: 't' } } }, { add: { table: { family: 'ip', name: 'u' } } }]);
      other.check([addition], KNOWN);
      expect(() => other.run([{ delete: elements('ports', 1) }], KNOWN)).toThrow(TransactionError);
      expect(watch.hasChanged()).toBe(false);
    });

    it('is heard when it removes the table', () => {
      other.run([{ delete: { table: { family: 'ip', name: 't' } } }]);
      expect(watch.hasChanged()).toBe(true);
    });

    it('is heard when there is more of it than a socket keeps', () => {
      for (let i = 0; i < 120; i += 1) {
        const elem = Array.from({ length: 1_000 }, (_, n) => n + 1_000);
        const flush: Command = { flush: { set: PORTS } };
        other.run([flush, { add: elements('ports', ...elem) }], KNOWN);
      }
      expect(watch.hasChanged()).toBe(true);
      expect(watch.hasChanged()).toBe(false);
    });
  });
});
