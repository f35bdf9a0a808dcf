/**
 * A set of our name and another shape (others swapped it for theirs) may be in use by rules, and no rule must see it missing:
 * a set of the right shape is filled with its entries and takes its place in one step.
 */
import type { NetlinkError } from '../../netlink/error.ts';
import { addEntry, createSet, destroySet, listSets, type SetDefinition, swapSets } from '../../netlink/ipset.ts';
import type { Handles } from './handles.ts';

/** For as long as that takes. */
const NEW_NAME = 'KUBE-SET-REMADE';

/** Gives what is in the way. Throws NetlinkError when nothing can be known. */
export const remakeSet = (
  { sets, revisionOf }: Pick<Handles, 'sets' | 'revisionOf'>,
  definition: SetDefinition,
): NetlinkError | undefined => {
  const made = { ...definition, name: NEW_NAME };
  const found = listSets(sets, [definition.name]).get(definition.name)?.entries ?? [];
  sets.execute([destroySet(NEW_NAME)]);
  const [failed] = sets.execute([createSet(made, revisionOf(definition))]);
  // what does not fit was not wanted, and what was is found missing by the next look
  if (failed === undefined) sets.execute(found.map((entry) => addEntry(made, entry)));
  const [refused] = failed === undefined ? sets.execute([swapSets(NEW_NAME, definition.name)]) : [failed];
  sets.execute([destroySet(NEW_NAME)]);
  return refused?.error;
};
