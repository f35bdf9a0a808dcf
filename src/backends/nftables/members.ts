/**
 * Installed elements of a frontend, slot by slot, and the step to the desired ones.
 *
 * The engine knows which endpoints a frontend has. Their slots are known here alone: read from the kernel, then updated by
 * every transaction.
 */
import { bareKeyOf } from '../../nftables-json/elements.ts';
import { formatElement, formatExpression } from '../../nftables-json/text.ts';
import { type EndpointAddress, type FrontendElements, type Member, slotMember } from './objects.ts';
import { fillSlots } from './slots.ts';

/** Elements of a frontend in the kernel. */
export interface InstalledFrontend {
  readonly members: readonly Member[];
  /** Targets by set, in the order of their slots. */
  readonly slots: ReadonlyMap<string, readonly EndpointAddress[]>;
}

export const NOT_INSTALLED: InstalledFrontend = { members: [], slots: new Map() };

export interface FrontendStep {
  readonly removed: readonly Member[];
  readonly added: readonly Member[];
  readonly installed: InstalledFrontend;
}

const keyText = ({ set, element }: Member): string => `${set} ${formatExpression(bareKeyOf(element))}`;

/** Step from the installed frontend to the desired one. Undefined: removed. */
export const stepTo = (
  installed: InstalledFrontend,
  wanted: FrontendElements | undefined,
  key: FrontendElements['key'],
): FrontendStep => {
  const slots = new Map<string, readonly EndpointAddress[]>();
  for (const [name, targets] of wanted?.lists ?? [])
    slots.set(name, fillSlots(installed.slots.get(name) ?? [], targets));
  const members = wanted?.members ?? [];
  const [goneSlots, newSlots] = slotChanges(installed.slots, slots, key);
  const [goneMembers, newMembers] = memberChanges(installed.members, members);
  return {
    removed: [...goneSlots, ...goneMembers],
    added: [...newSlots, ...newMembers],
    installed: { members, slots },
  };
};

type Changes = readonly [removed: readonly Member[], added: readonly Member[]];

const slotChanges = (
  former: InstalledFrontend['slots'],
  wanted: InstalledFrontend['slots'],
  key: FrontendElements['key'],
): Changes => {
  const removed: Member[] = [];
  const added: Member[] = [];
  for (const name of new Set([...former.keys(), ...wanted.keys()])) {
    const before = former.get(name) ?? [];
    const after = wanted.get(name) ?? [];
    for (let slot = 0; slot < Math.max(before.length, after.length); slot += 1) {
      const [was, is] = [before[slot], after[slot]];
      if (was === is) continue;
      if (was !== undefined) removed.push(slotMember(name, key, slot, was));
      if (is !== undefined) added.push(slotMember(name, key, slot, is));
    }
  }
  return [removed, added];
};

const memberChanges = (former: readonly Member[], wanted: readonly Member[]): Changes => {
  if (former.length === 0) return [[], wanted];
  const before = new Map(former.map((member) => [keyText(member), member]));
  const after = new Map(wanted.map((member) => [keyText(member), member]));
  const differs = (one: Member, other: Member | undefined): boolean =>
    other === undefined || formatElement(one.element) !== formatElement(other.element);
  return [
    [...before]
      .filter(([key, member]) => differs(member, after.get(key)))
      .map(([, { set, element }]) => ({ set, element: bareKeyOf(element) })),
    [...after].filter(([key, member]) => differs(member, before.get(key))).map(([, member]) => member),
  ];
};
