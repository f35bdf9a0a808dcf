/**
 * Session affinity (ClientIP): one map holds the endpoint of each client. Rules behind DNAT, where the endpoint is known,
 * add and renew entries. So affinity needs no rule of a Service, and two base chains for all time-outs: a frontend leads to
 * the chain of its time-out. Pure.
 *
 * Only endpoints in the set of frontends and endpoints are remembered: a packet under way when its endpoint leaves adds no
 * entry. The first packet of a client that is remembered with an endpoint that left is dropped together with its entry, and
 * the next one (TCP retransmits within a second) is balanced anew. So correctness does not depend on how soon entries of an
 * endpoint that left are deleted.
 */
import { concat, drop, inSet, leave, mapDelete, mapUpdate, notInSet, vmap } from '../../nftables-json/construct.ts';
import type { Statement } from '../../nftables-json/schema.ts';
import { BASE_CHAINS } from './hooks.ts';
import {
  AFFINITY,
  CLUSTER_IPS,
  endpointData,
  KEY_SPACES,
  type KeySpace,
  type NftFamily,
  originalAddress,
  originalKey,
  STICKY,
  stickyDeclarations,
  TABLE,
  translatedAffinityKey,
  translatedKey,
} from './names.ts';
import { type ChainObject, chain, type NftObject, set } from './objects.ts';

/** Name of a time-out's chain: `remember-600`, `remember-nodeport-600`. */
export const rememberName = (space: KeySpace, seconds: number): string =>
  `remember-${space === 'nodePort' ? 'nodeport-' : ''}${seconds}`;

/** Objects that all frontends with affinity share, and the chain of one key space and time-out. */
export const stickyObjects = (space: KeySpace, family: NftFamily, seconds: number): readonly NftObject[] => [
  ...stickyDeclarations(family).map(set),
  // packets to endpoints on the node itself pass input, all others postrouting
  hooked('affinity-input', family),
  hooked('affinity-postrouting', family),
  remember(space, family, seconds),
];

const hooked = (name: 'affinity-input' | 'affinity-postrouting', family: NftFamily): ChainObject =>
  chain(
    { family, table: TABLE, name, ...BASE_CHAINS[name] },
    KEY_SPACES.map((space) => [vmap(concat(...originalKey(space, family)), STICKY[space].timeouts)]),
  );

const remember = (space: KeySpace, family: NftFamily, seconds: number): ChainObject => {
  const { endpoints, departed } = STICKY[space];
  const to = translatedKey(space, family);
  const client = translatedAffinityKey(family);
  // at a ClusterIP the port is not a NodePort
  const isNodePort: readonly Statement[] = space === 'nodePort' ? [notInSet(originalAddress(family), CLUSTER_IPS)] : [];
  return chain({ family, table: TABLE, name: rememberName(space, seconds) }, [
    [inSet(to, endpoints), mapUpdate(AFFINITY, client, endpointData(family), seconds), leave],
    [...isNodePort, inSet(to, departed), mapDelete(AFFINITY, client, endpointData(family)), drop],
  ]);
};
