/**
 * Counters of traffic: sets with an element for each frontend, in which the kernel counts the packets that look it up. So
 * neither rules nor chains grow with Services, and no change of endpoints resets a counter. Pure.
 *
 * Packets of both directions are looked up by the original destination of their connection. Each passes prerouting or
 * output. A packet of the node to itself passes both, and is counted in output. Connections are counted at the hooks of
 * source NAT, which the kernel evaluates once a connection, and behind all rules that may drop one.
 */
import type { NodeContext } from '../../model/node.ts';
import { concat, ct, element, goto, inSet, jump, match, meta } from '../../nftables-json/construct.ts';
import type { Concat, SetDeclaration, Statement } from '../../nftables-json/schema.ts';
import { BASE_CHAINS, type BaseChain } from './hooks.ts';
import {
  KEY_SPACES,
  type KeySpace,
  keyTypes,
  type NftFamily,
  NODEPORT_IPS,
  nftFamily,
  originalAddress,
  originalKey,
  TABLE,
} from './names.ts';
import { type ChainObject, chain, type Member, type NftObject, set } from './objects.ts';

export type Counted = 'connections' | 'in' | 'out';

const COUNTED: readonly Counted[] = ['connections', 'in', 'out'];

/** Names of the sets. `in`: packets from clients, `out`: packets to them. */
export const COUNTERS: Readonly<Record<KeySpace, Readonly<Record<Counted, string>>>> = {
  service: { connections: 'traffic-connections', in: 'traffic-in', out: 'traffic-out' },
  nodePort: {
    connections: 'nodeport-traffic-connections',
    in: 'nodeport-traffic-in',
    out: 'nodeport-traffic-out',
  },
};

export interface CounterSet {
  readonly space: KeySpace;
  readonly counted: Counted;
}

/** Parses the name of a set with counters. Undefined for other sets. */
export const readCounterSet = (name: string): CounterSet | undefined => {
  for (const space of KEY_SPACES) {
    const counted = COUNTED.find((one) => COUNTERS[space][one] === name);
    if (counted !== undefined) return { space, counted };
  }
  return undefined;
};

export const counterDeclarations = (family: NftFamily): readonly SetDeclaration[] =>
  KEY_SPACES.flatMap((space) =>
    COUNTED.map((counted) => ({
      family,
      table: TABLE,
      name: COUNTERS[space][counted],
      type: keyTypes(space, family),
      stmt: [{ counter: null }] as const,
    })),
  );

/** Elements of one frontend. The comment names the service port, so that another owner begins at zero. */
export const counterMembers = (space: KeySpace, key: Concat, comment: string): readonly Member[] =>
  COUNTED.map((counted) => ({ set: COUNTERS[space][counted], element: element(key, comment) }));

/** Sets and chains that count, whatever the Services. */
export const counterObjects = (node: NodeContext): readonly NftObject[] => {
  const family = nftFamily(node.family);
  const regular = (name: string, rules: ChainObject['rules']): ChainObject =>
    chain({ family, table: TABLE, name }, rules);
  const hooked = (name: BaseChain, ...rule: readonly Statement[]): ChainObject =>
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

/** Rules that count. A port is looked up as a NodePort at these addresses of the node, unless it is a Service's there. */
const count = (counted: Counted, { nodePortAddresses: at }: NodeContext, family: NftFamily): ChainObject['rules'] => {
  const isNodePort = at === 'all' ? [] : [inSet(originalAddress(family), NODEPORT_IPS)];
  return [
    [inSet(concat(...originalKey('service', family)), COUNTERS.service[counted]), { return: null }],
    [...isNodePort, inSet(concat(...originalKey('nodePort', family)), COUNTERS.nodePort[counted])],
  ];
};
