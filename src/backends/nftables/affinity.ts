/**
 * Session affinity (ClientIP): one map remembers where each client went, and who renews it is behind DNAT, where the choice
 * is known. So affinity needs no rule of a Service's own. Pure.
 *
 * A packet that was under way when its endpoint left must not be remembered after all: only what is in the set of frontends
 * and endpoints is.
 */
import { inSet, mapUpdate } from '../../nftables-json/construct.ts';
import type { ChainHook, Statement } from '../../nftables-json/schema.ts';
import { SOURCE_NAT_PRIORITY } from './hooks.ts';
import {
  AFFINITY,
  endpointData,
  type NftFamily,
  type Space,
  stickyDeclaration,
  stickySet,
  TABLE,
  translatedAffinityKey,
  translatedKey,
} from './names.ts';
import { type Chain, chain, type NftObject, set } from './objects.ts';

/** What all frontends of one space with this time-out share. An endpoint may be elsewhere, or the node itself. */
export const stickyObjects = (space: Space, family: NftFamily, seconds: number): readonly NftObject[] => [
  set(stickyDeclaration(space, family, seconds)),
  remember('postrouting', space, family, seconds),
  remember('input', space, family, seconds),
];

const remember = (hook: 'postrouting' | 'input', space: Space, family: NftFamily, seconds: number): Chain => {
  const name = stickySet(space, seconds);
  // before masquerading, which ends the look at nat chains
  const at: ChainHook = { type: 'nat', hook, prio: SOURCE_NAT_PRIORITY - 1, policy: 'accept' };
  const rule: readonly Statement[] = [
    inSet(translatedKey(space, family), name),
    mapUpdate(AFFINITY, translatedAffinityKey(family), endpointData(family), seconds),
  ];
  return chain({ family, table: TABLE, name: `${name}-${hook}`, ...at }, [rule]);
};
