/** Probes whether the kernel supports everything that this mode writes: it validates a table that is not committed. */
import type { IPFamily } from '../../model/address.ts';
import type { NodeContext } from '../../model/node.ts';
import { type Nftables, TransactionError } from '../../nftables-json/nftables.ts';
import { stickyObjects } from './affinity.ts';
import { base } from './base.ts';
import { classChains } from './classes.ts';
import { unable } from './kernel-sockets.ts';
import { KEY_SPACES, type NftFamily, nftFamily } from './names.ts';
import { type NftObject, type TableObject, table } from './objects.ts';
import { commandsOf } from './write.ts';

/** Name of the probed table, which is never committed. */
const PROBE = 'pointsman-probe';
const A_DAY = 86_400;

const node = (family: IPFamily): NodeContext => ({
  name: '',
  family,
  zone: '',
  nodeIP: undefined,
  nodePortAddresses: 'all',
  nodePortsOnLoopback: false,
  localAddresses: new Set(),
  serviceCIDRs: [],
  localDetector: { by: 'interface-prefix', prefix: 'veth' },
  masqueradeMark: 1,
  masqueradeAll: false,
  dropInvalid: true,
});

/** Probes the kernel. Throws Error, naming what it cannot do. */
export const probe = (nftables: Nftables, family: IPFamily, counts = false): void => {
  const changes = probeObjects(family, counts).map((object) => ({ op: 'add', object }) as const);
  const { commands } = commandsOf(changes, nftFamily(family), () => undefined);
  try {
    nftables.check(commands.map(({ command }) => command));
  } catch (error) {
    throw error instanceof TransactionError ? unable(error) : error;
  }
};

const probeObjects = (family: IPFamily, counts: boolean): readonly NftObject[] => {
  const nft = nftFamily(family);
  const classes = KEY_SPACES.flatMap((space) =>
    classChains({ family: nft, space, isLocal: false, mark: 1, isSticky: true, count: 2 }),
  );
  const objects = [
    ...base(node(family), counts).objects,
    ...KEY_SPACES.flatMap((space) => stickyObjects(space, nft, A_DAY)),
    ...classes,
  ];
  return [...new Map(objects.map((object) => [object.id, object])).values()].map((object) => renamed(object, nft));
};

/** Moves an object to the probed table. */
const renamed = (object: NftObject, family: NftFamily): NftObject => {
  switch (object.kind) {
    case 'table':
      return { ...table(family), declaration: { family, name: PROBE } } satisfies TableObject;
    case 'set':
      return { ...object, declaration: { ...object.declaration, table: PROBE } };
    case 'chain':
      return { ...object, declaration: { ...object.declaration, table: PROBE } };
    default:
      return object;
  }
};
