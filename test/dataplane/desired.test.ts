import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Change, Fragment } from '../../src/dataplane/contract.ts';
import { Desired, diff } from '../../src/dataplane/desired.ts';
import { type FakeObject, fake } from './fake-backend.ts';

type Objects = ReadonlyMap<string, FakeObject>;

const applied = (have: Objects, changes: readonly Change<FakeObject>[]): Map<string, FakeObject> => {
  const result = new Map(have);
  for (const { op, object } of changes) {
    if (op === 'add') expect(result.has(object.id)).toBe(false);
    else expect(result.has(object.id)).toBe(true);
    if (op === 'remove') result.delete(object.id);
    else result.set(object.id, object);
  }
  return result;
};

const plain = (objects: Objects): readonly string[] =>
  [...objects.values()].map(({ id, content }) => `${id}: ${content}`).sort();

const OWNERS = ['a', 'b', 'c', 'd'] as const;
const ids = fc.constantFrom('x', 'y', 'z');
const contents = fc.constantFrom('one', 'two');
const objects = fc
  .uniqueArray(fc.tuple(ids, contents), { selector: ([id]) => id })
  .map((list) => list.map(([id, content]) => fake(id, content)));
const sets = objects.map((list): Objects => new Map(list.map((object) => [object.id, object])));
/** An owner's age is its own: wishes come and go, `since` stays. */
const wish = fc.record({ owner: fc.constantFrom(...OWNERS), objects: fc.option(objects, { nil: undefined }) });

const fragment = (owner: string, list: readonly FakeObject[], since: number): Fragment<FakeObject> => ({
  owner,
  objects: list,
  since,
});
/** Two of the same age, so that names decide too. */
const ageOf = (owner: string): number => ({ a: 3, b: 1, c: 1, d: 2 })[owner] ?? 0;

const asFragment = (owner: string, list: readonly FakeObject[] | undefined): Fragment<FakeObject> | undefined =>
  list === undefined ? undefined : fragment(owner, list, ageOf(owner));

describe('diff', () => {
  it('leads from one state to the other', () => {
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        expect(plain(applied(a, diff(a, b)))).toEqual(plain(b));
      }),
    );
  });

  it('is empty between equal states', () => {
    fc.assert(
      fc.property(sets, (a) => {
        const copies = new Map([...a].map(([id, object]) => [id, { ...object }]));
        expect(diff(a, copies)).toEqual([]);
      }),
    );
  });

  it('looks at the given ids only', () => {
    const have = new Map([fake('x', 'one'), fake('y', 'one')].map((object) => [object.id, object]));
    expect(diff(have, new Map(), ['y', 'absent'])).toEqual([{ op: 'remove', object: fake('y', 'one') }]);
  });

  it('says what stood there before a replacement', () => {
    const have = new Map([['x', fake('x', 'one')]]);
    const want = new Map([['x', fake('x', 'two')]]);
    expect(diff(have, want)).toEqual([{ op: 'replace', object: fake('x', 'two'), previous: fake('x', 'one') }]);
  });
});

describe('claims', () => {
  it('of equal content are shared, and leave with the last one', () => {
    const desired = new Desired<FakeObject>();
    const same = [fake('x', 'one')];
    expect(desired.put('a', fragment('a', same, 1))).toEqual([{ op: 'add', object: fake('x', 'one') }]);
    expect(desired.put('b', fragment('b', same, 2))).toEqual([]);
    expect(desired.claimants('x')).toEqual(['a', 'b']);
    expect(desired.put('a', undefined)).toEqual([]);
    expect(desired.put('b', undefined)).toEqual([{ op: 'remove', object: fake('x', 'one') }]);
    expect(desired.size).toBe(0);
    expect(desired.claimants('x')).toEqual([]);
  });

  it('of different content go to the older owner, whoever came first; the other is told', () => {
    for (const order of [
      ['old', 'young'],
      ['young', 'old'],
    ]) {
      const desired = new Desired<FakeObject>();
      for (const owner of order) desired.put(owner, fragment(owner, [fake('x', owner)], owner === 'old' ? 1 : 2));
      expect(desired.claimants('x')).toEqual(['old', 'young']);
      expect(desired.lost('old')).toBeUndefined();
      expect(desired.lost('young')).toEqual({ id: 'x', to: 'old' });
    }
  });

  it('of owners of one age go by name', () => {
    const desired = new Desired<FakeObject>();
    desired.put('b', fragment('b', [fake('x', 'two')], 1));
    desired.put('a', fragment('a', [fake('x', 'one')], 1));
    expect(desired.lost('b')).toEqual({ id: 'x', to: 'a' });
  });

  it('pass on when the one that was granted goes or changes its mind', () => {
    const desired = new Desired<FakeObject>();
    desired.put('old', fragment('old', [fake('x', 'one')], 1));
    desired.put('young', fragment('young', [fake('x', 'two')], 2));
    expect(desired.put('old', fragment('old', [fake('y', 'one')], 1))).toEqual([
      { op: 'replace', object: fake('x', 'two'), previous: fake('x', 'one') },
      { op: 'add', object: fake('y', 'one') },
    ]);
    expect(desired.lost('young')).toBeUndefined();
  });

  it('end their quarrel when they become equal', () => {
    const desired = new Desired<FakeObject>();
    desired.put('old', fragment('old', [fake('x', 'one')], 1));
    desired.put('young', fragment('young', [fake('x', 'two')], 2));
    expect(desired.put('young', fragment('young', [fake('x', 'one')], 2))).toEqual([]);
    expect(desired.lost('young')).toBeUndefined();
  });

  it('of one owner change hands without a change in the kernel when the content is the same', () => {
    const desired = new Desired<FakeObject>();
    desired.put('young', fragment('young', [fake('x', 'one')], 2));
    expect(desired.put('old', fragment('old', [fake('x', 'one')], 1))).toEqual([]);
    expect(desired.claimants('x')).toEqual(['old', 'young']);
  });
});

describe('whatever the order of wishes', () => {
  /** What the oldest owner of each id wants, computed from the last wishes alone. */
  const expected = (last: ReadonlyMap<string, readonly FakeObject[]>): Map<string, FakeObject> => {
    const granted = new Map<string, FakeObject>();
    const byRank = [...last].sort(([a], [b]) => ageOf(a) - ageOf(b) || (a < b ? -1 : 1));
    for (const [, list] of byRank)
      for (const object of list) if (!granted.has(object.id)) granted.set(object.id, object);
    return granted;
  };

  it('the changes add up to what the older owners want', () => {
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 30 }), (wishes) => {
        const desired = new Desired<FakeObject>();
        const last = new Map<string, readonly FakeObject[]>();
        let granted = new Map<string, FakeObject>();
        for (const { owner, objects: list } of wishes) {
          granted = applied(granted, desired.put(owner, asFragment(owner, list)));
          if (list === undefined) last.delete(owner);
          else last.set(owner, list);
          expect(plain(granted)).toEqual(plain(expected(last)));
        }
        expect([...desired.owners()].sort()).toEqual([...last.keys()].sort());
      }),
      { numRuns: 300 },
    );
  });

  it('an owner is told of a loss exactly when another content stands where it has a wish', () => {
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 15 }), (wishes) => {
        const desired = new Desired<FakeObject>();
        for (const { owner, objects: list } of wishes) desired.put(owner, asFragment(owner, list));
        const last = new Map(
          OWNERS.flatMap((owner) => {
            const list = desired.fragment(owner)?.objects;
            return list === undefined ? [] : [[owner, list] as const];
          }),
        );
        const granted = expected(last);
        for (const owner of OWNERS) {
          const losing = (last.get(owner) ?? []).filter(({ id, content }) => granted.get(id)?.content !== content);
          const lost = desired.lost(owner);
          expect(lost !== undefined).toBe(losing.length > 0);
          if (lost === undefined) continue;
          expect(losing.map(({ id }) => id)).toContain(lost.id);
          expect(desired.claimants(lost.id)[0]).toBe(lost.to);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('putting and taking away leaves no trace', () => {
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 15 }), (wishes) => {
        const desired = new Desired<FakeObject>();
        for (const { owner, objects: list } of wishes) desired.put(owner, asFragment(owner, list));
        for (const owner of OWNERS) desired.put(owner, undefined);
        expect(desired.size).toBe(0);
        for (const id of ['x', 'y', 'z']) expect(desired.claimants(id)).toEqual([]);
        for (const owner of OWNERS) expect(desired.disputes(owner)).toEqual([]);
      }),
    );
  });
});
