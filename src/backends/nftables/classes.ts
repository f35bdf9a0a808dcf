/**
 * Chains of load-balancing classes. The class of a frontend is its number of endpoints and its features, never its Service:
 * the number of chains grows with the different numbers of endpoints, and a change of one Service changes no rule.
 */
import { bits, concat, dnat, goto, lookup, mangle, meta, numgen } from '../../nftables-json/construct.ts';
import type { Statement } from '../../nftables-json/schema.ts';
import { AFFINITY, affinityKey, type KeySpace, type NftFamily, packetKey, SETS, TABLE } from './names.ts';
import { type ChainObject, chain } from './objects.ts';

/** Number of endpoints and features of a frontend: frontends of one class share a chain. */
export interface LoadBalancingClass {
  readonly family: NftFamily;
  readonly space: KeySpace;
  /** Balances over endpoints of this node only, for traffic from outside under external policy Local. */
  readonly isLocal: boolean;
  /** Bit that marks packets for masquerade. 0: none. */
  readonly mark: number;
  readonly isSticky: boolean;
  /** Number of endpoints, at least 1. */
  readonly count: number;
}

/** Name of a class's chain: `pick-3`, `external-sticky-2`, `nodeport-local-pick-1`. */
export const className = ({ space, isLocal, mark, isSticky, count }: LoadBalancingClass): string =>
  [
    ...(space === 'nodePort' ? ['nodeport'] : []),
    ...(isLocal ? ['local'] : []),
    ...(mark === 0 ? [] : ['external']),
    isSticky ? 'sticky' : 'pick',
    count,
  ].join('-');

export const setMark = (bit: number): Statement => mangle(meta('mark'), bits(meta('mark'), '|', bit));

/** The chain of a class, and the chains that it leads to. */
export const classChains = (wanted: LoadBalancingClass): readonly ChainObject[] => {
  const { family } = wanted;
  const make = (of: LoadBalancingClass, ...rules: readonly (readonly Statement[])[]): ChainObject =>
    chain({ family, table: TABLE, name: className(of) }, rules);
  if (wanted.mark !== 0) {
    const unmarked = { ...wanted, mark: 0 };
    return [make(wanted, [setMark(wanted.mark)], [goto(className(unmarked))]), ...classChains(unmarked)];
  }
  if (wanted.isSticky) {
    const plain = { ...wanted, isSticky: false };
    // a client that is not in the affinity map goes on to the next rule
    return [make(wanted, [remembered(family)], [goto(className(plain))]), ...classChains(plain)];
  }
  return [make(wanted, [picked(wanted)])];
};

const remembered = (family: NftFamily): Statement =>
  dnat(family, lookup(concat(...affinityKey(family).concat), AFFINITY));

const picked = ({ family, space, isLocal, count }: LoadBalancingClass): Statement => {
  const { endpoints, localEndpoints } = SETS[space];
  const key = packetKey(space, family, numgen(count));
  return dnat(family, lookup(key, isLocal ? localEndpoints : endpoints));
};
