/**
 * What counts a Service's traffic: sets with an element for each frontend, in which the kernel counts the packets that are
 * looked up there. So neither rules nor chains grow with Services, and no change of endpoints touches a counter. Pure.
 *
 * A packet is looked up by what its connection was sent to, whichever way it goes. Each passes one of prerouting and output:
 * what the node sends to itself passes both, and is counted when it leaves. Connections are counted where source addresses are
 * translated, which the kernel asks for once a connection, and behind everything that may drop one.
 */
import type { NodeContext } from '../../model/node.ts';
import { concat, ct, element, goto, inSet, jump, match, meta } from '../../nftables-json/construct.ts';
import type { Concat, SetDeclaration, Statement } from '../../nftables-json/schema.ts';
import { BASE_CHAINS, type BaseChain } from './hooks.ts';
import {
  keyTypes,
  type NftFamily,
  NODEPORT_IPS,
  nftFamily,
  originalAddress,
  originalKey,
  SPACES,
  type Space,
  TABLE,
} from './names.ts';
import { type Chain, chain, type Member, type NftObject, set } from './objects.ts';

export type Counted = 'connections' | 'in' | 'out';

const COUNTED: readonly Counted[] = ['connections', 'in', 'out'];

/** `in` is what clients send, `out` what they are answered. */
export const COUNTERS: Readonly<Record<Space, Readonly<Record<Counted, string>>>> = {
  service: { connections: 'traffic-connections', in: 'traffic-in', out: 'traffic-out' },
  nodePort: {
    connections: 'nodeport-traffic-connections',
    in: 'nodeport-traffic-in',
    out: 'nodeport-traffic-out',
  },
};

export interface CounterSet {
  readonly space: Space;
  readonly counted: Counted;
}

/** What a set's name says, where it is one of those. */
export const readCounterSet = (name: string): CounterSet | undefined => {
  for (const space of SPACES) {
    const counted = COUNTED.find((one) => COUNTERS[space][one] === name);
    if (counted !== undefined) return { space, counted };
  }
  return undefined;
};

export const counterDeclarations = (family: NftFamily): readonly SetDeclaration[] =>
  SPACES.flatMap((space) =>
    COUNTED.map((counted) => ({
      family,
      table: TABLE,
      name: COUNTERS[space][counted],
      type: keyTypes(space, family),
      stmt: [{ counter: null }] as const,
    })),
  );

/** Of one frontend. The comment is its owner's: with another one it begins to count anew. */
export const counterMembers = (space: Space, key: Concat, comment: string): readonly Member[] =>
  COUNTED.map((counted) => ({ set: COUNTERS[space][counted], element: element(key, comment) }));

/** What the node needs for it, whatever its Services. */
export const counterObjects = (node: NodeContext): readonly NftObject[] => {
  const family = nftFamily(node.family);
  const regular = (name: string, rules: Chain['rules']): Chain => chain({ family, table: TABLE, name }, rules);
  const hooked = (name: BaseChain, ...rule: readonly Statement[]): Chain =>
    chain({ family, table: TABLE, name, ...BASE_CHAINS[name] }, [rule]);
  const isTranslated = match(ct('status'), 'in', 'dnat');
  return [
    ...counterDeclarations(family).map(set),
    hooked('traffic-prerouting', match(meta('iifname'), '!=', 'lo'), isTranslated, jump('count-packet')),
    hooked('traffic-output', isTranslated, jump('count-packet')),
    hooked('traffic-input', isTranslated, jump('count-connection')),
    hooked('traffic-postrouting', isTranslated, jump('count-connection')),
    regular('count-packet', [[match(ct('direction'), '==', 'original'), goto('count-in')], [goto('count-out')]]),
    regular('count-in', count('in', node, family)),
    regular('count-out', count('out', node, family)),
    regular('count-connection', count('connections', node, family)),
  ];
};

/** A port alone is a NodePort where the address is one of these, and no Service's. */
const count = (counted: Counted, { nodePortAddresses: at }: NodeContext, family: NftFamily): Chain['rules'] => {
  const isNodePort = at === 'all' ? [] : [inSet(originalAddress(family), NODEPORT_IPS)];
  return [
    [inSet(concat(...originalKey('service', family)), COUNTERS.service[counted]), { return: null }],
    [...isNodePort, inSet(concat(...originalKey('nodePort', family)), COUNTERS.nodePort[counted])],
  ];
};
