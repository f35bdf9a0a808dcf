/**
 * Changes to transactions. Pure.
 *
 * Most changes are one transaction. Many are several, as one that is long holds up everybody who writes to nf_tables: first
 * the table and its chains, then what Services want, at last the chains and sets that nobody uses any more. Those go by
 * themselves also where the rest is short: kernels before 6.2 refuse them for a moment after their last use.
 */
import type { Batch, Change } from '../../dataplane/contract.ts';
import { type NftObject, OTHER_SHAPE } from './objects.ts';

export type NftChange = Change<NftObject>;

/** In no order: the driver knows it. */
export interface Payload {
  readonly changes: readonly NftChange[];
}

/** Some ten milliseconds of this process and of the kernel together: it is done at a stretch. */
const MAX_ELEMENTS = 500;

export const plan = (changes: readonly NftChange[]): readonly Batch<Payload>[] => {
  const table = changes.find(({ object }) => object.kind === 'table');
  // with the table goes all that is in it; where it is replaced, all of it comes anew, and at once
  if (table?.op === 'remove') return [batch(changes)];
  if (table !== undefined && isRebuilt(table)) return [batch(changes.filter(({ op }) => op !== 'remove'))];
  // what is on no hook is put there before anything else is written
  if (table?.op === 'replace') return [batch([table]), ...plan(changes.filter((change) => change !== table))];
  const unused = changes.filter((change) => change.op === 'remove' && isStructure(change));
  const structure = changes.filter((change) => change.op !== 'remove' && isStructure(change));
  const rest = changes.filter((change) => !isStructure(change));
  const [first = [], ...others] = chunks([...rest.filter(isKept), ...rest.filter((change) => !isKept(change))]);
  return [[...structure, ...first], ...others, unused].filter((part) => part.length > 0).map(batch);
};

/** Whether the table goes in this change, and all that is in it. */
export const isRebuilt = (change: NftChange): boolean =>
  change.object.kind === 'table' && change.op === 'replace' && change.previous.content === OTHER_SHAPE;

const isStructure = ({ object }: NftChange): boolean => object.kind !== 'frontend' && object.kind !== 'element';

const isKept = ({ op }: NftChange): boolean => op !== 'remove';

const batch = (changes: readonly NftChange[]): Batch<Payload> => ({
  payload: { changes },
  ids: changes.map(({ object }) => object.id),
});

/** How many elements there are to it, at most. */
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
