/**
 * One service port to elements of sets and maps, and the chains of the classes that it belongs to. Pure.
 *
 * Each address and port is a frontend of its own, so that of two Services that claim it one gets all of it.
 */
import type { Fragment } from '../../dataplane/contract.ts';
import { type Cidr, cidrContains } from '../../model/address.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { NodeContext } from '../../model/node.ts';
import { formatServicePortName, ownerOf, type ServicePort } from '../../model/service.ts';
import { hasExternalEndpoints, hasInternalEndpoints, type ServiceEndpoints } from '../../model/topology.ts';
import { concat, drop, goto, element as withComment } from '../../nftables-json/construct.ts';
import type { Concat, Expression, Element as NftElement, Verdict } from '../../nftables-json/schema.ts';
import { rememberName, stickyObjects } from './affinity.ts';
import { FIREWALL_CHAIN, networkOf, POLICY_LOCAL, refusal } from './base.ts';
import { type Way, wayChains, wayName } from './classes.ts';
import { counterMembers } from './counters.ts';
import {
  CLUSTER_IPS,
  FIREWALL,
  HAIRPIN,
  type NftFamily,
  nftFamily,
  SETS,
  SOURCE_RANGES,
  type Space,
  STICKY,
} from './names.ts';
import {
  element,
  type Frontend,
  frontend,
  type Member,
  type NftObject,
  type Target,
  targetOf,
  withTarget,
} from './objects.ts';

/** What the functions below pass on. */
interface Subject {
  readonly service: ServiceEndpoints;
  readonly node: NodeContext;
  readonly family: NftFamily;
  readonly comment: string;
  readonly counts: boolean;
}

/** A frontend under construction, and the chains that it leads to. */
interface Draft {
  readonly members: readonly Member[];
  readonly lists: readonly (readonly [set: string, targets: readonly Target[]])[];
  readonly ways: readonly Way[];
}

const NOTHING: Draft = { members: [], lists: [], ways: [] };

const merge = (...drafts: readonly Draft[]): Draft => ({
  members: drafts.flatMap(({ members }) => members),
  lists: drafts.flatMap(({ lists }) => lists),
  ways: drafts.flatMap(({ ways }) => ways),
});

/** With `counts` each frontend's traffic is counted. */
export const compile = (service: ServiceEndpoints, node: NodeContext, counts = false): Fragment<NftObject> => {
  const { port } = service;
  const family = nftFamily(node.family);
  const subject: Subject = { service, node, family, comment: commentOf(port), counts };
  const vips = port.loadBalancerVIPs.filter((ip) => ip !== port.clusterIP);
  // one frontend an address: an external IP that is also a VIP is guarded by the source ranges
  const externalIPs = port.externalIPs.filter((ip) => ip !== port.clusterIP && !vips.includes(ip));
  return {
    owner: ownerOf(port.name),
    since: port.createdAt,
    objects: distinct([
      element({ set: CLUSTER_IPS, element: port.clusterIP }),
      ...serviceFrontend(subject, port.clusterIP, clusterIP(subject)),
      ...externalIPs.flatMap((ip) => serviceFrontend(subject, ip, external(subject, 'service', at(port, ip)))),
      ...vips.flatMap((ip) => serviceFrontend(subject, ip, balancer(subject, ip))),
      ...(port.nodePort === 0 ? [] : nodePort(subject)),
      ...hairpins(subject),
    ]),
  };
};

/** Two frontends of a Service may lead to the same chain. */
const distinct = (objects: readonly NftObject[]): readonly NftObject[] => [
  ...new Map(objects.map((object) => [object.id, object])).values(),
];

/** The kernel keeps what nft can show: 127 bytes, and nothing in them that would end the quotes. */
const MAX_COMMENT = 127;

const commentOf = (port: ServicePort): string =>
  formatServicePortName(port.name)
    .replace(/[^ -~]|["\\]/g, '?')
    .slice(0, MAX_COMMENT);

const protocolOf = (port: ServicePort): string => port.name.protocol.toLowerCase();

const at = (port: ServicePort, ip: string): Concat => concat(ip, protocolOf(port), port.port);

const serviceFrontend = (subject: Subject, ip: string, draft: Draft): readonly NftObject[] =>
  finish(subject, 'service', at(subject.service.port, ip), draft);

const nodePort = (subject: Subject): readonly NftObject[] => {
  const { port } = subject.service;
  const key = concat(protocolOf(port), port.nodePort);
  return finish(subject, 'nodePort', key, external(subject, 'nodePort', key));
};

const finish = (subject: Subject, space: Space, key: Concat, draft: Draft): readonly NftObject[] => {
  const { family, service } = subject;
  const seconds = service.port.affinitySeconds;
  const isSticky = seconds > 0 && draft.lists.length > 0;
  const targets = new Set(draft.lists.flatMap(([, list]) => list));
  const guards = isSticky
    ? [
        verdictMember(STICKY[space].timeouts, key, goto(rememberName(space, seconds)), subject.comment),
        ...[...targets].map((target) => guard(space, key, target)),
      ]
    : [];
  const counters = subject.counts ? counterMembers(space, key, subject.comment) : [];
  const whole: Frontend = frontend(family, key, [...draft.members, ...guards, ...counters], new Map(draft.lists));
  return [whole, ...draft.ways.flatMap(wayChains), ...(isSticky ? stickyObjects(space, family, seconds) : [])];
};

/** Who may be remembered. */
const guard = (space: Space, key: Concat, target: Target): Member => ({
  set: STICKY[space].endpoints,
  element: withTarget(key, target),
});

const verdictMember = (set: string, key: Concat, verdict: Verdict, comment: string): Member => ({
  set,
  element: [withComment(key, comment), verdict] satisfies NftElement,
});

interface Leading {
  readonly set: string;
  readonly list: string;
  readonly isLocal: boolean;
  readonly isMarked: boolean;
}

/** The verdict that leads to these endpoints; nothing where there are none. */
const lead = (subject: Subject, space: Space, key: Concat, endpoints: readonly Endpoint[], to: Leading): Draft => {
  if (endpoints.length === 0) return NOTHING;
  const { family, node, service, comment } = subject;
  const way: Way = {
    family,
    space,
    isLocal: to.isLocal,
    mark: to.isMarked ? node.masqueradeMark : 0,
    isSticky: service.port.affinitySeconds > 0,
    count: endpoints.length,
  };
  return {
    members: [verdictMember(to.set, key, goto(wayName(way)), comment)],
    lists: [[to.list, endpoints.map(({ ip, port }) => targetOf(ip, port))]],
    ways: [way],
  };
};

const refuse = ({ service, comment }: Subject, space: Space, key: Concat): Draft => ({
  ...NOTHING,
  members: [verdictMember(SETS[space].refusals, key, service.hasAny ? drop : refusal, comment)],
});

const clusterIP = (subject: Subject): Draft => {
  const { service } = subject;
  const key = at(service.port, service.port.clusterIP);
  if (!hasInternalEndpoints(service)) return refuse(subject, 'service', key);
  const { verdicts: set, endpoints: list } = SETS.service;
  const endpoints = service.port.internalPolicyLocal ? service.local : service.cluster;
  return lead(subject, 'service', key, endpoints, { set, list, isLocal: false, isMarked: false });
};

/** External IPs, VIPs and NodePorts: masqueraded, unless the policy keeps traffic on this node. */
const external = (subject: Subject, space: Space, key: Concat): Draft => {
  const { service, comment } = subject;
  const { verdicts, endpoints, insideVerdicts, localVerdicts, localEndpoints } = SETS[space];
  const nobody = hasExternalEndpoints(service) ? NOTHING : refuse(subject, space, key);
  if (!service.port.externalPolicyLocal) {
    const to = { set: verdicts, list: endpoints, isLocal: false, isMarked: true };
    return merge(lead(subject, space, key, service.cluster, to), nobody);
  }
  if (!service.hasAny) return nobody;
  const inside = { set: insideVerdicts, list: endpoints, isLocal: false, isMarked: false };
  const local = { set: localVerdicts, list: localEndpoints, isLocal: true, isMarked: false };
  const entry = verdictMember(verdicts, key, goto(POLICY_LOCAL[space]), comment);
  return merge(
    { ...NOTHING, members: [entry] },
    lead(subject, space, key, service.cluster, inside),
    lead(subject, space, key, service.local, local),
    nobody,
  );
};

const balancer = (subject: Subject, ip: string): Draft => {
  const key = at(subject.service.port, ip);
  return merge(external(subject, 'service', key), firewall(subject, key));
};

/** Also where there is no endpoint: who may not ask is not told so. */
const firewall = ({ service: { port }, node, comment }: Subject, key: Concat): Draft => {
  const { sourceRanges } = port;
  if (sourceRanges === undefined) return NOTHING;
  const { nodeIP } = node;
  // a packet of the node itself to a VIP that it holds has the VIP as its source
  const allowsNode = nodeIP !== undefined && sourceRanges.some((cidr) => cidrContains(cidr, nodeIP));
  const vips = allowsNode
    ? port.loadBalancerVIPs.filter((ip) => !sourceRanges.some((cidr) => cidrContains(cidr, ip)))
    : [];
  const sources = [...outermost(sourceRanges).map(rangeOf), ...vips];
  const members = sources.map((source) => ({ set: SOURCE_RANGES, element: concat(...key.concat, source) }));
  return { ...NOTHING, members: [verdictMember(FIREWALL, key, goto(FIREWALL_CHAIN), comment), ...members] };
};

/** A single address is listed as such. */
const rangeOf = (cidr: Cidr): Expression => {
  const network = networkOf(cidr);
  return cidr.prefix === cidr.bytes.length * 8 ? network.prefix.addr : network;
};

/** Ranges of a set may not overlap. */
const outermost = (ranges: readonly Cidr[]): readonly Cidr[] => {
  const distinctOnes = [...new Map(ranges.map((cidr) => [cidr.text, cidr])).values()];
  return distinctOnes.filter(
    (cidr) =>
      !distinctOnes.some((other) => other.prefix < cidr.prefix && cidrContains(other, networkOf(cidr).prefix.addr)),
  );
};

/** A pod that reaches itself must see another source than itself. */
const hairpins = ({ service: { port, reachable } }: Subject): readonly NftObject[] =>
  reachable
    .filter(({ isLocal }) => isLocal)
    .map(({ ip, port: number }) => element({ set: HAIRPIN, element: concat(ip, ip, protocolOf(port), number) }));
