/** A table with everything that this mode writes, for asking a kernel whether it can. Pure. */
import type { IPFamily } from '../../model/address.ts';
import type { NodeContext } from '../../model/node.ts';
import { stickyObjects } from './affinity.ts';
import { base } from './base.ts';
import { wayChains } from './classes.ts';
import { type NftFamily, nftFamily, SPACES } from './names.ts';
import { type NftObject, type Table, table } from './objects.ts';

/** Never comes to be: the kernel looks at it and forgets it. */
const PROBE = 'pointsman-probe';
const A_DAY = 86_400;

const node = (family: IPFamily): NodeContext => ({
  name: '',
  family,
  zone: '',
  nodeIP: undefined,
  nodePortAddresses: 'all',
  localAddresses: [],
  localDetector: { by: 'interface-prefix', prefix: 'veth' },
  masqueradeMark: 1,
  masqueradeAll: false,
  dropInvalid: true,
});

export const probeObjects = (family: IPFamily): readonly NftObject[] => {
  const nft = nftFamily(family);
  const ways = SPACES.flatMap((space) =>
    wayChains({ family: nft, space, isLocal: false, mark: 1, isSticky: true, count: 2 }),
  );
  const objects = [
    ...base(node(family)).objects,
    ...SPACES.flatMap((space) => stickyObjects(space, nft, A_DAY)),
    ...ways,
  ];
  return [...new Map(objects.map((object) => [object.id, object])).values()].map((object) => renamed(object, nft));
};

/** The same in another table. */
const renamed = (object: NftObject, family: NftFamily): NftObject => {
  switch (object.kind) {
    case 'table':
      return { ...table(family), declaration: { family, name: PROBE } } satisfies Table;
    case 'set':
      return { ...object, declaration: { ...object.declaration, table: PROBE } };
    case 'chain':
      return { ...object, declaration: { ...object.declaration, table: PROBE } };
    default:
      return object;
  }
};
