/**
 * Plans changes as transactions. Pure.
 *
 * Few changes are one transaction. Many are several, because a long one blocks every writer of nf_tables: first the table
 * and its chains, then objects of Services, at last unused chains and sets. Removals of chains and sets are always a
 * transaction of their own: kernels before 6.2 refuse them for a moment after their last use.
 */
import type { Batch, Change } from '../../dataplane/contract.ts';
import { type NftObject, OTHER_SHAPE } from './objects.ts';

export type NftChange = Change<NftObject>;

/** Changes of one transaction, which write.ts orders. */
export interface NftPayload {
  readonly changes: readonly NftChange[];
}

/** Elements of one transaction: some ten milliseconds of this process and the kernel, without a turn of the event loop. */
const MAX_ELEMENTS = 500;

export const plan = (changes: readonly NftChange[]): readonly Batch<NftPayload>[] => {
  const table = changes.find(({ object }) => object.kind === 'table');
  // deleting the table deletes all in it; replacing it writes everything anew, in one transaction
  if (table?.op === 'remove') return [batch(changes)];
  if (table !== undefined && isRebuilt(table)) return [batch(changes.filter(({ op }) => op !== 'remove'))];
  // a dormant table is woken before anything else is written
  if (table?.op === 'replace') return [batch([table]), ...plan(changes.filter((change) => change !== table))];
  const unused = changes.filter((change) => change.op === 'remove' && isStructure(change));
  const structure = changes.filter((change) => change.op !== 'remove' && isStructure(change));
  const rest = changes.filter((change) => !isStructure(change));
  const [first = [], ...others] = chunks([...rest.filter(isKept), ...rest.filter((change) => !isKept(change))]);
  return [[...structure, ...first], ...others, unused].filter((part) => part.length > 0).map(batch);
};

/** Whether a change replaces the table, with all in it. */
export const isRebuilt = (change: NftChange): boolean =>
  change.object.kind === 'table' && change.op === 'replace' && change.previous.content === OTHER_SHAPE;

const isStructure = ({ object }: NftChange): boolean => object.kind !== 'frontend' && object.kind !== 'element';

const isKept = ({ op }: NftChange): boolean => op !== 'remove';

const batch = (changes: readonly NftChange[]): Batch<NftPayload> => ({
  payload: { changes },
  ids: changes.map(({ object }) => object.id),
});

/** Elements of an object, at most. */
const weight = ({ object }: NftChange): number =>
  object.kind === 'frontend'
    ? [...object.lists.values()].reduce((sum, list) => sum + list.length, object.members.length)
    : 1;

const chunks = (changes: readonly NftChange[]): readonly (readonly NftChange[])[] => {
  const parts: NftChange[][] = [];
  let room = 0;
  for (const change of changes) {
    const size = weight(change);
    const last = parts.at(-1);
    if (last === undefined || size > room) {
      parts.push([change]);
      room = MAX_ELEMENTS - size;
    } else {
      last.push(change);
      room -= size;
    }
  }
  return parts;
};
