/**
 * Session affinity (ClientIP): one map remembers where each client went, and who renews it is behind DNAT, where the choice
 * is known. So affinity needs no rule of a Service's own, and two hooks whatever the time-outs: a frontend leads to the chain of its.
 * Pure.
 *
 * A packet that was under way when its endpoint left must not be remembered after all: only what is in the set of frontends
 * and endpoints is. And a client that is remembered with an endpoint that left is not led there: its first packet is
 * dropped, what was remembered with it, so that the next one (TCP sends it within a second) goes where others go. So
 * nothing depends on how soon all clients of an endpoint are forgotten.
 */
import { concat, drop, inSet, leave, mapDelete, mapUpdate, notInSet, vmap } from '../../nftables-json/construct.ts';
import type { Statement } from '../../nftables-json/schema.ts';
import { BASE_CHAINS } from './hooks.ts';
import {
  AFFINITY,
  CLUSTER_IPS,
  endpointData,
  type NftFamily,
  originalAddress,
  originalKey,
  SPACES,
  type Space,
  STICKY,
  stickyDeclarations,
  TABLE,
  translatedAffinityKey,
  translatedKey,
} from './names.ts';
import { type Chain, chain, type NftObject, set } from './objects.ts';

/** As in `remember-600`, `remember-nodeport-600`. */
export const rememberName = (space: Space, seconds: number): string =>
  `remember-${space === 'nodePort' ? 'nodeport-' : ''}${seconds}`;

/** What all frontends with affinity share, and those of one space with this time-out. */
export const stickyObjects = (space: Space, family: NftFamily, seconds: number): readonly NftObject[] => [
  ...stickyDeclarations(family).map(set),
  // an endpoint may be elsewhere, or the node itself
  hooked('affinity-input', family),
  hooked('affinity-postrouting', family),
  remember(space, family, seconds),
];

const hooked = (name: 'affinity-input' | 'affinity-postrouting', family: NftFamily): Chain =>
  chain(
    { family, table: TABLE, name, ...BASE_CHAINS[name] },
    SPACES.map((space) => [vmap(concat(...originalKey(space, family)), STICKY[space].timeouts)]),
  );

const remember = (space: Space, family: NftFamily, seconds: number): Chain => {
  const { endpoints, departed } = STICKY[space];
  const to = translatedKey(space, family);
  const client = translatedAffinityKey(family);
  // a port alone is no NodePort at a ClusterIP
  const isNodePort: readonly Statement[] = space === 'nodePort' ? [notInSet(originalAddress(family), CLUSTER_IPS)] : [];
  return chain({ family, table: TABLE, name: rememberName(space, seconds) }, [
    [inSet(to, endpoints), mapUpdate(AFFINITY, client, endpointData(family), seconds), leave],
    [...isNodePort, inSet(to, departed), mapDelete(AFFINITY, client, endpointData(family)), drop],
  ]);
};
