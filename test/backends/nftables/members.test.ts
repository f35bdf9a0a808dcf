/** From what a frontend holds in the kernel to what is wanted: the elements that differ, and no others. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type FrontendStep,
  type InstalledFrontend,
  NOT_INSTALLED,
  stepTo,
} from '../../../src/backends/nftables/members.ts';
import { frontendElements, initialMembers, type Member, slotMember } from '../../../src/backends/nftables/objects.ts';
import { concat, drop, element, goto } from '../../../src/nftables-json/construct.ts';
import { keyOf } from '../../../src/nftables-json/elements.ts';
import type { Expression } from '../../../src/nftables-json/schema.ts';
import { formatElement, formatExpression } from '../../../src/nftables-json/text.ts';

const KEY = concat('10.96.0.1', 'tcp', 80);

const bareText = ({ set, element: one }: Member): string => {
  const key = keyOf(one);
  const bare: Expression = typeof key === 'object' && 'elem' in key ? key.elem.val : key;
  return `${set} ${formatExpression(bare)}`;
};

const textOf = (member: Member): string => `${member.set} { ${formatElement(member.element)} }`;

const elementsOf = ({ members, slots }: InstalledFrontend): readonly Member[] => [
  ...members,
  ...[...slots].flatMap(([name, targets]) => targets.map((target, slot) => slotMember(name, KEY, slot, target))),
];

/** A kernel's sets: what is removed has to be there, what is added must not. */
const carryOut = (held: InstalledFrontend, { removed, added }: FrontendStep): readonly string[] => {
  const elements = new Map(elementsOf(held).map((member) => [bareText(member), textOf(member)]));
  for (const member of removed) {
    if (!elements.delete(bareText(member))) throw new Error(`${bareText(member)} is not there`);
  }
  for (const member of added) {
    if (elements.has(bareText(member))) throw new Error(`${bareText(member)} is there`);
    elements.set(bareText(member), textOf(member));
  }
  return [...elements.values()].sort();
};

const target = fc.nat({ max: 9 }).map((n) => `10.200.0.${n} . 8080`);
const members = fc.uniqueArray(
  fc
    .record({
      set: fc.constantFrom('service-ips', 'inside-ips', 'no-endpoint-services'),
      verdict: fc.constantFrom(drop, goto('pick-1'), goto('pick-2')),
      comment: fc.constantFrom('a', 'b'),
    })
    .map(({ set, verdict, comment }): Member => ({ set, element: [element(KEY, comment), verdict] })),
  { selector: ({ set }) => set },
);
const lists = fc
  .uniqueArray(
    fc.tuple(fc.constantFrom('endpoints', 'local-endpoints'), fc.uniqueArray(target, { minLength: 1, maxLength: 8 })),
    { selector: ([name]) => name },
  )
  .map((entries) => new Map(entries));
const frontends = fc.tuple(members, lists).map(([all, slots]) => frontendElements('ip', KEY, all, slots));

describe('a step', () => {
  it('leads from what is held to what is wanted, and knows what is held then', () => {
    fc.assert(
      fc.property(fc.array(fc.option(frontends, { nil: undefined }), { maxLength: 6 }), (wishes) => {
        let held = NOT_INSTALLED;
        for (const wanted of wishes) {
          const step = stepTo(held, wanted, KEY);
          expect(carryOut(held, step)).toEqual(elementsOf(step.installed).map(textOf).sort());
          const { members: all = [], lists: wants = new Map() } = wanted ?? {};
          expect(step.installed.members.map(textOf).sort()).toEqual(all.map(textOf).sort());
          expect([...step.installed.slots.keys()].sort()).toEqual([...wants.keys()].sort());
          for (const [name, list] of wants)
            expect([...(step.installed.slots.get(name) ?? [])].sort()).toEqual([...list].sort());
          held = step.installed;
        }
      }),
    );
  });

  it('touches nothing that stays', () => {
    fc.assert(
      fc.property(frontends, frontends, (one, other) => {
        const { installed: held } = stepTo(NOT_INSTALLED, one, KEY);
        const step = stepTo(held, other, KEY);
        const after = new Set(elementsOf(step.installed).map(textOf));
        const before = new Map(elementsOf(held).map((member) => [bareText(member), textOf(member)]));
        for (const member of step.removed) expect(after.has(before.get(bareText(member)) ?? '')).toBe(false);
        const stays = new Set(before.values());
        for (const member of step.added) expect(stays.has(textOf(member))).toBe(false);
        expect(stepTo(step.installed, other, KEY)).toMatchObject({ removed: [], added: [] });
      }),
    );
  });

  it('from nothing is what an empty kernel gets', () => {
    fc.assert(
      fc.property(frontends, (wanted) => {
        const { removed, added } = stepTo(NOT_INSTALLED, wanted, KEY);
        expect(removed).toEqual([]);
        expect(added.map(textOf).sort()).toEqual(initialMembers(wanted).map(textOf).sort());
      }),
    );
  });

  it('takes away by the bare key: the kernel wants neither data nor comment', () => {
    const verdict: Member = { set: 'service-ips', element: [element(KEY, 'ns/web'), goto('pick-1')] };
    const held = stepTo(NOT_INSTALLED, frontendElements('ip', KEY, [verdict], new Map()), KEY).installed;
    expect(stepTo(held, undefined, KEY).removed).toEqual([{ set: 'service-ips', element: KEY }]);
    const renamed: Member = { ...verdict, element: [element(KEY, 'ns/other'), goto('pick-1')] };
    const step = stepTo(held, frontendElements('ip', KEY, [renamed], new Map()), KEY);
    expect(step).toMatchObject({ removed: [{ set: 'service-ips', element: KEY }], added: [renamed] });
  });
});
