/**
 * Assigns endpoints to slots. Slots are dense: numgen draws a slot by number. A change moves as few endpoints as possible:
 * the slot of an endpoint that leaves goes to a new endpoint, else to the last one.
 */
import type { EndpointAddress } from './objects.ts';

/** Slots of distinct targets, with the fewest changes from the former ones. */
export const fillSlots = (
  former: readonly (EndpointAddress | undefined)[],
  wanted: readonly EndpointAddress[],
): readonly EndpointAddress[] => {
  const wants = new Set(wanted);
  const placed = new Set<EndpointAddress>();
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
  const unplaced = wanted.filter((target) => !placed.has(target));
  const waiting = [
    ...unplaced.filter((target) => !behind.has(target)),
    ...[...behind].filter((target) => wants.has(target) && !placed.has(target)),
  ].values();
  return kept.map((target) => target ?? waiting.next().value ?? '');
};
