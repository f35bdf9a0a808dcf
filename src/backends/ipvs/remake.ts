/**
 * Replaces a set of our name and another type (others swapped it for theirs). Rules may use the set and must never miss
 * it: a set of the right type is filled with its entries and swapped in by one message.
 */
import type { NetlinkError } from '../../netlink/error.ts';
import { addEntry, createSet, destroySet, listSets, type SetDefinition, swapSets } from '../../netlink/ipset.ts';
import type { Handles } from './handles.ts';

/** Name of the new set until it is swapped in. */
const NEW_NAME = 'KUBE-SET-REMADE';

/** Returns the kernel's refusal, if any. Throws NetlinkError when the answers are lost. */
export const remakeSet = (
  { sets, revisionOf }: Pick<Handles, 'sets' | 'revisionOf'>,
  definition: SetDefinition,
): NetlinkError | undefined => {
  const made = { ...definition, name: NEW_NAME };
  const found = listSets(sets, [definition.name]).get(definition.name)?.entries ?? [];
  sets.execute([destroySet(NEW_NAME)]);
  const [failed] = sets.execute([createSet(made, revisionOf(definition))]);
  // entries that do not fit are not wanted ones, and the next audit adds missing ones
  if (failed === undefined) sets.execute(found.map((entry) => addEntry(made, entry)));
  const [refused] = failed === undefined ? sets.execute([swapSets(NEW_NAME, definition.name)]) : [failed];
  sets.execute([destroySet(NEW_NAME)]);
  return refused?.error;
};
