/**
 * Which slot holds which endpoint. A packet draws a slot by number, so there may be no gap; and as few as possible may
 * change, whatever the number of endpoints: one that leaves has its place taken by a new one, else by the last one.
 */
import type { Target } from './objects.ts';

/** Slots for these targets, which are all different, as close to the former ones as can be. */
export const fillSlots = (former: readonly (Target | undefined)[], wanted: readonly Target[]): readonly Target[] => {
  const wants = new Set(wanted);
  const placed = new Set<Target>();
  const kept = wanted.map((_, slot) => {
    const holder = former[slot];
    if (holder === undefined || !wants.has(holder) || placed.has(holder)) return undefined;
    placed.add(holder);
    return holder;
  });
  const behind = new Set(
    former
      .slice(wanted.length)
      .filter((target) => target !== undefined)
      .reverse(),
  );
  const homeless = wanted.filter((target) => !placed.has(target));
  const waiting = [
    ...homeless.filter((target) => !behind.has(target)),
    ...[...behind].filter((target) => wants.has(target) && !placed.has(target)),
  ].values();
  return kept.map((target) => target ?? waiting.next().value ?? '');
};
