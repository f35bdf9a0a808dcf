/** Objects that every node has, whatever its Services: link, sets, a constant number of rules, kernel settings. Pure. */
import type { Fragment } from '../../dataplane/contract.ts';
import type { NodeContext } from '../../model/node.ts';
import { forwardMarked, markMasquerade, masquerade } from '../xtables/masquerade.ts';
import {
  FORWARD,
  IPVS_FILTER,
  IPVS_MARK,
  IPVS_OUT,
  MARK_MASQ,
  POSTROUTING,
  PROXY_FIREWALL,
  SERVICES,
} from '../xtables/names.ts';
import { chain, type Jump, jump, type XtablesChain } from '../xtables/objects.ts';
import type { JumpRank } from '../xtables/restore.ts';
import { FROM_LOCAL, fromPod, loopback, mark, NEW, rejectTarget, rule, TO_LOCAL } from '../xtables/rule.ts';
import { sysctl } from '../xtables/sysctl.ts';
import { LOAD_BALANCER, NODE_PORT, SET_NAMES, type SetName, SOURCE_RANGES, setDefinition, setName } from './names.ts';
import { type DesiredIpvsObject, device, ipSet, ipvsTimeouts } from './objects.ts';
import type { IpvsSettings } from './settings.ts';

/** Jumps in the order in which they are inserted on top. */
const JUMPS: readonly Jump[] = [
  jump('mangle', 'PREROUTING', `-j ${IPVS_MARK}`),
  jump('mangle', 'OUTPUT', `-j ${IPVS_OUT}`),
  jump('nat', 'OUTPUT', `-j ${SERVICES}`),
  jump('nat', 'OUTPUT', `-j ${IPVS_OUT}`),
  jump('nat', 'PREROUTING', `-j ${SERVICES}`),
  jump('nat', 'POSTROUTING', `-j ${POSTROUTING}`),
  jump('filter', 'FORWARD', `-j ${FORWARD}`),
  jump('filter', 'INPUT', `-j ${NODE_PORT}`),
  jump('filter', 'INPUT', `-j ${PROXY_FIREWALL}`),
  jump('filter', 'FORWARD', `-j ${PROXY_FIREWALL}`),
  jump('filter', 'INPUT', `-j ${IPVS_FILTER}`),
];

/** Rank of a jump: the higher one is inserted later, on top. */
export const jumpRank: JumpRank = ({ id }) => JUMPS.findIndex((known) => known.id === id);

export const base = (node: NodeContext, settings: IpvsSettings): Fragment<DesiredIpvsObject> => ({
  owner: 'base',
  since: 0,
  objects: [
    ...kernelSettings(settings),
    device,
    ...SET_NAMES.map((name) => ipSet(setDefinition(name, node.family))),
    ...chains(node),
    ...JUMPS,
  ],
});

/**
 * Kernel settings, as kube-proxy sets them: IPVS keeps conntrack entries, and expires connections to removed real servers
 * (ipvs-sysctl.rst).
 */
export const kernelSettings = ({ strictARP, timeouts, ignoresReuse }: IpvsSettings): readonly DesiredIpvsObject[] => [
  sysctl('net/ipv4/vs/conntrack', 1),
  ...(ignoresReuse ? [sysctl('net/ipv4/vs/conn_reuse_mode', 0)] : []),
  sysctl('net/ipv4/vs/expire_nodest_conn', 1),
  sysctl('net/ipv4/vs/expire_quiescent_template', 1),
  sysctl('net/ipv4/ip_forward', 1),
  ...(strictARP ? [sysctl('net/ipv4/conf/all/arp_ignore', 1), sysctl('net/ipv4/conf/all/arp_announce', 2)] : []),
  ...(timeouts.tcp + timeouts.tcpFin + timeouts.udp > 0 ? [ipvsTimeouts(timeouts)] : []),
];

const chains = (node: NodeContext): readonly XtablesChain[] => [
  chain('mangle', IPVS_MARK, markForPods(node)),
  chain('mangle', IPVS_OUT, markForNode(node)),
  chain('nat', SERVICES, services(node)),
  chain('nat', IPVS_OUT, fromAddresses(node)),
  chain('nat', LOAD_BALANCER, [
    rule({ matches: [inSet(node, 'LOAD-BALANCER-LOCAL', 'dst,dst'), NOT_FROM_LOCAL] }, 'RETURN'),
    rule({}, MARK_MASQ),
  ]),
  chain('nat', NODE_PORT, nodePorts(node)),
  chain('nat', MARK_MASQ, markMasquerade(node)),
  chain('nat', POSTROUTING, [
    rule({ comment: 'kubernetes: hairpin', matches: [inSet(node, 'LOOP-BACK', 'dst,dst,src')] }, 'MASQUERADE'),
    ...masquerade(node),
  ]),
  chain('filter', FORWARD, forwardMarked(node)),
  chain('filter', NODE_PORT, [
    rule({ comment: 'kubernetes: health check', matches: [inSet(node, 'HEALTH-CHECK-NODE-PORT', 'dst')] }, 'ACCEPT'),
  ]),
  chain('filter', PROXY_FIREWALL, [rule({ matches: [inSet(node, 'LOAD-BALANCER-FW', 'dst,dst')] }, SOURCE_RANGES)]),
  chain('filter', SOURCE_RANGES, [
    rule({ matches: [inSet(node, 'LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src')] }, 'RETURN'),
    rule({ matches: [inSet(node, 'LOAD-BALANCER-SOURCE-IP', 'dst,dst,src')] }, 'RETURN'),
    rule({}, 'DROP'),
  ]),
  chain('filter', IPVS_FILTER, guard(node)),
];

/** Matches packets from elsewhere. Under policy Local only the node's own packets are masqueraded, to get their replies. */
const NOT_FROM_LOCAL = FROM_LOCAL.replace('--src', '! --src');

const inSet = ({ family }: NodeContext, name: SetName, flags: string, negated = ''): string =>
  `-m set ${negated}--match-set ${setName(name, family)} ${flags}`;

const setMark = ({ family }: NodeContext): string =>
  `SET --map-set ${setName('EXTERNAL-POLICY-MARK', family)} dst,dst --map-mark`;

/** Rules that mark packets from pods: under external policy Local the mark selects the virtual server of all endpoints. */
const markForPods = (node: NodeContext): readonly string[] =>
  node.localDetector === undefined ? [] : [rule(fromPod(node.localDetector, false), setMark(node))];

/**
 * Rules for the node's own packets. IPVS takes them before table filter, so drops and source ranges apply here. Their
 * source is often the VIP itself.
 */
const markForNode = (node: NodeContext): readonly string[] => [
  rule({ matches: [inSet(node, 'DROP-INTERNAL', 'dst,dst')] }, 'DROP'),
  rule(
    {
      comment: 'kubernetes: not in the source ranges',
      matches: [
        inSet(node, 'LOAD-BALANCER-FW', 'dst,dst'),
        inSet(node, 'LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src', '! '),
        inSet(node, 'LOAD-BALANCER-SOURCE-IP', 'dst,dst,src', '! '),
      ],
    },
    'DROP',
  ),
  rule({}, setMark(node)),
];

/**
 * Rule that masquerades the node's own packets to an address on the device: they have that address as source, and would
 * leave with it. The chain refers to no other chain, because any mode needs it while the node has such addresses.
 */
const fromAddresses = (node: MarkingNode): readonly string[] => {
  const bit = mark(node.masqueradeMark);
  const matches = [`-m set --match-set ${setName('IPVS-IPS', node.family)} src`];
  return [rule({ comment: 'kubernetes: from the node itself', matches }, `MARK --set-xmark ${bit}/${bit}`)];
};

type MarkingNode = Pick<NodeContext, 'family' | 'masqueradeMark'>;

/** Chain and jump that masquerade the node's own packets to addresses on the device, and nothing else. */
export const ownTrafficMasquerade = (node: MarkingNode): readonly (XtablesChain | Jump)[] => [
  chain('nat', IPVS_OUT, fromAddresses(node)),
  jump('nat', 'OUTPUT', `-j ${IPVS_OUT}`),
];

const services = (node: NodeContext): readonly string[] => {
  const masqueraded = (name: SetName, more = {}): string =>
    rule({ ...more, matches: [inSet(node, name, 'dst,dst')] }, MARK_MASQ);
  const outsiders =
    node.localDetector === undefined ? [] : [masqueraded('CLUSTER-IP', fromPod(node.localDetector, true))];
  return [
    rule({ source: loopback(node.family) }, 'RETURN'),
    ...(node.masqueradeAll ? [masqueraded('CLUSTER-IP')] : outsiders),
    rule({ matches: [inSet(node, 'LOAD-BALANCER', 'dst,dst')] }, LOAD_BALANCER),
    masqueraded('EXTERNAL-IP'),
    rule({ matches: [inSet(node, 'EXTERNAL-IP-LOCAL', 'dst,dst'), FROM_LOCAL] }, MARK_MASQ),
    // ACCEPT ends the nat table: a later rule, such as a host port's, must not translate packets to Services
    ...(['CLUSTER-IP', 'LOAD-BALANCER', 'EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'] as const).map((name) =>
      rule({ matches: [inSet(node, name, 'dst,dst')] }, 'ACCEPT'),
    ),
    rule({ matches: [TO_LOCAL] }, NODE_PORT),
  ];
};

const nodePorts = (node: NodeContext): readonly string[] =>
  (
    [
      ['TCP', 'NODE-PORT-TCP', 'NODE-PORT-LOCAL-TCP', 'dst'],
      ['UDP', 'NODE-PORT-UDP', 'NODE-PORT-LOCAL-UDP', 'dst'],
      ['SCTP', 'NODE-PORT-SCTP-HASH', 'NODE-PORT-LOCAL-SCTP-HASH', 'dst,dst'],
    ] as const
  ).flatMap(([protocol, all, local, flags]) => [
    rule({ protocol, matches: [inSet(node, local, flags), NOT_FROM_LOCAL] }, 'RETURN'),
    rule({ protocol, matches: [inSet(node, all, flags)] }, MARK_MASQ),
  ]);

/** Rules that refuse the host's own listeners on all addresses at the addresses of Services (k/k#72236). */
const guard = (node: NodeContext): readonly string[] => {
  const outside = node.localDetector === undefined ? {} : fromPod(node.localDetector, true);
  return [
    rule({ matches: [inSet(node, 'DROP-INTERNAL', 'dst,dst')] }, 'DROP'),
    rule({ ...outside, matches: [inSet(node, 'DROP-EXTERNAL', 'dst,dst')] }, 'DROP'),
    ...(['LOAD-BALANCER', 'CLUSTER-IP', 'EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'] as const).map((name) =>
      rule({ matches: [inSet(node, name, 'dst,dst')] }, 'RETURN'),
    ),
    // load balancers may check a Service's health at the Service's own address
    rule({ matches: [inSet(node, 'HEALTH-CHECK-NODE-PORT', 'dst')] }, 'RETURN'),
    rule({ matches: [NEW, inSet(node, 'IPVS-IPS', 'dst')] }, rejectTarget(node.family)),
  ];
};
