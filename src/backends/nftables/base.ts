/** Objects that every node has, whatever its Services: table, sets, base chains and the chains they lead to. Pure. */
import type { Fragment } from '../../dataplane/contract.ts';
import type { Cidr } from '../../model/address.ts';
import type { LocalDetector, NodeContext } from '../../model/node.ts';
import {
  bits,
  concat,
  ct,
  drop,
  fibType,
  goto,
  inSet,
  jump,
  mangle,
  masquerade,
  match,
  meta,
  notInSet,
  prefix,
  reject,
  vmap,
} from '../../nftables-json/construct.ts';
import type { Match, Prefix, Statement } from '../../nftables-json/schema.ts';
import { setMark } from './classes.ts';
import { counterObjects } from './counters.ts';
import { BASE_CHAINS, type BaseChain } from './hooks.ts';
import {
  CLUSTER_IPS,
  declarations,
  destination,
  FIREWALL,
  HAIRPIN,
  hairpinKey,
  type KeySpace,
  type NftFamily,
  NODEPORT_IPS,
  nftFamily,
  packetKey,
  SETS,
  SOURCE_RANGES,
  source,
  TABLE,
} from './names.ts';
import { type ChainObject, chain, element, type NftObject, set, table } from './objects.ts';

export const REJECT_CHAIN = 'reject-chain';
export const FIREWALL_CHAIN = 'firewall';

/** Chains of frontends with external policy Local. */
export const POLICY_LOCAL: Readonly<Record<KeySpace, string>> = {
  service: 'policy-local',
  nodePort: 'nodeport-policy-local',
};

type Rules = ChainObject['rules'];

/** Base objects. With `counts` they include those that count traffic. */
export const base = (node: NodeContext, counts = false): Fragment<NftObject> => {
  const family = nftFamily(node.family);
  const regular = (name: string, rules: Rules): ChainObject => chain({ family, table: TABLE, name }, rules);
  const hooked = (name: BaseChain, rules: Rules): ChainObject =>
    chain({ family, table: TABLE, name, ...BASE_CHAINS[name] }, rules);
  return {
    owner: 'base',
    since: 0,
    objects: [
      table(family),
      ...declarations(family).map(set),
      hooked('filter-prerouting-pre-dnat', [ifNew(jump('firewall-check'))]),
      hooked('filter-output-pre-dnat', [ifNew(jump('firewall-check'))]),
      hooked('filter-input', [ifNew(jump('nodeport-endpoints-check')), ifNew(jump('service-endpoints-check'))]),
      hooked('filter-forward', [...dropInvalid(node), ...checkEndpoints]),
      hooked('filter-output', checkEndpoints),
      hooked('nat-prerouting', [[jump('services')]]),
      hooked('nat-output', [[jump('services')]]),
      hooked('nat-postrouting', [[jump('masquerading')]]),
      regular('services', services(node, family)),
      regular('masquerading', masquerading(node, family)),
      regular('service-endpoints-check', [[vmap(packetKey('service', family), SETS.service.refusals)]]),
      regular('nodeport-endpoints-check', [toNodePorts(node, family, SETS.nodePort.refusals)]),
      regular('cluster-ips-check', clusterIPsCheck(node, family)),
      regular('firewall-check', [[vmap(packetKey('service', family), FIREWALL)]]),
      regular(FIREWALL_CHAIN, [[notInSet(packetKey('service', family, source(family)), SOURCE_RANGES), drop]]),
      regular(REJECT_CHAIN, [[reject(family)]]),
      regular(POLICY_LOCAL.service, policyLocal('service', node, family)),
      regular(POLICY_LOCAL.nodePort, policyLocal('nodePort', node, family)),
      ...nodePortAddresses(node),
      ...(counts ? counterObjects(node) : []),
    ],
  };
};

const ifNew = (verdict: Statement): readonly Statement[] => [match(ct('state'), 'in', 'new'), verdict];

const checkEndpoints: Rules = [ifNew(jump('service-endpoints-check')), ifNew(jump('cluster-ips-check'))];

/**
 * Drops INVALID packets: conntrack does not translate them back, so they would reach the client with the pod's address, and
 * the client's RST would end the connection (k/k#74839).
 */
const dropInvalid = ({ dropInvalid: isWanted }: NodeContext): Rules =>
  isWanted ? [[match(ct('state'), 'in', 'invalid'), drop]] : [];

/**
 * Rules that refuse undefined ports of ClusterIPs, and drop packets to unused addresses of the ServiceCIDRs: they would
 * leave by the default route.
 */
const clusterIPsCheck = ({ serviceCIDRs }: NodeContext, family: NftFamily): Rules => [
  [inSet(destination(family), CLUSTER_IPS), reject(family)],
  ...serviceCIDRs.map((cidr) => [match(destination(family), '==', networkOf(cidr)), drop]),
];

export const networkOf = (cidr: Cidr): Prefix => {
  const [address = ''] = cidr.text.split('/');
  return prefix(address, cidr.prefix);
};

/** Rules that dispatch packets. Traffic to a ClusterIP from outside the cluster is masqueraded, to return through this node. */
const services = (node: NodeContext, family: NftFamily): Rules => {
  const toClusterIP = inSet(destination(family), CLUSTER_IPS);
  const outsiders = node.masqueradeAll ? [] : node.localDetector && [fromPod(node.localDetector, family, '!=')];
  return [
    ...(outsiders === undefined ? [] : [[toClusterIP, ...outsiders, setMark(node.masqueradeMark)]]),
    [vmap(packetKey('service', family), SETS.service.verdicts)],
    toNodePorts(node, family, SETS.nodePort.verdicts),
  ];
};

/** Looks NodePorts up. Loopback is left out: a packet to 127.0.0.1 cannot leave the node with its loopback source. */
const toNodePorts = ({ nodePortAddresses: at }: NodeContext, family: NftFamily, map: string): readonly Statement[] => {
  const lookup = vmap(packetKey('nodePort', family), map);
  if (at !== 'all') return [inSet(destination(family), NODEPORT_IPS), lookup];
  const loopback = family === 'ip' ? prefix('127.0.0.0', 8) : '::1';
  return [match(fibType('daddr'), '==', 'local'), match(destination(family), '!=', loopback), lookup];
};

const nodePortAddresses = ({ nodePortAddresses: at }: NodeContext): readonly NftObject[] =>
  at === 'all' ? [] : at.map((ip) => element({ set: NODEPORT_IPS, element: ip }));

/** Matches packets that come, or do not come, from a pod. */
const fromPod = (detector: LocalDetector, family: NftFamily, op: '==' | '!='): Match => {
  switch (detector.by) {
    case 'source':
      return match(source(family), op, networkOf(detector.cidr));
    case 'interface':
      return match(meta('iifname'), op, detector.name);
    case 'interface-prefix':
      return match(meta('iifname'), op, `${detector.prefix}*`);
  }
};

/** Rules of external policy Local. Pods and the node are inside the cluster, so they reach all endpoints. */
const policyLocal = (space: KeySpace, node: NodeContext, family: NftFamily): Rules => {
  const { insideVerdicts, localVerdicts } = SETS[space];
  const key = packetKey(space, family);
  const fromNode = match(fibType('saddr'), '==', 'local');
  return [
    ...(node.localDetector === undefined
      ? []
      : [[fromPod(node.localDetector, family, '=='), vmap(key, insideVerdicts)]]),
    [fromNode, setMark(node.masqueradeMark)],
    [fromNode, vmap(key, insideVerdicts)],
    [vmap(key, localVerdicts)],
  ];
};

/** Rules that masquerade marked and hairpin packets. The mark is cleared, so that later hooks do not see it. */
const masquerading = ({ masqueradeMark: bit }: NodeContext, family: NftFamily): Rules => [
  [match(bits(meta('mark'), '&', bit), '!=', 0), mangle(meta('mark'), bits(meta('mark'), '^', bit)), masquerade],
  [match(ct('status'), 'in', 'dnat'), inSet(concat(...hairpinKey(family).concat), HAIRPIN), masquerade],
];

/** Verdict of frontends without any endpoint. */
export const refusal = goto(REJECT_CHAIN);
