/**
 * Compiles one service port to elements of sets and maps, and to the chains of its load-balancing classes. Pure.
 *
 * Each address and port is a frontend of its own, granted to one of several Services as a whole.
 */
import type { Fragment } from '../../dataplane/contract.ts';
import { type Cidr, cidrContains } from '../../model/address.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { type Choice, endpointsOf, type Frontend, frontendsOf, isServed, type Sources } from '../../model/frontend.ts';
import type { NodeContext } from '../../model/node.ts';
import { formatServicePortName, ownerOf, type ServicePort } from '../../model/service.ts';
import type { ServiceEndpoints } from '../../model/topology.ts';
import { concat, drop, goto, element as withComment } from '../../nftables-json/construct.ts';
import type { Concat, Element, Expression, Verdict } from '../../nftables-json/schema.ts';
import { rememberName, stickyObjects } from './affinity.ts';
import { FIREWALL_CHAIN, networkOf, POLICY_LOCAL, refusal as REFUSAL } from './base.ts';
import { classChains, className, type LoadBalancingClass } from './classes.ts';
import { counterMembers } from './counters.ts';
import {
  CLUSTER_IPS,
  FIREWALL,
  HAIRPIN,
  type KeySpace,
  type NftFamily,
  nftFamily,
  SETS,
  SOURCE_RANGES,
  STICKY,
} from './names.ts';
import {
  type EndpointAddress,
  element,
  type FrontendElements,
  frontendElements,
  type Member,
  type NftObject,
  targetOf,
  withTarget,
} from './objects.ts';

/** Input that the functions below pass on. */
interface NftCompileInput {
  readonly service: ServiceEndpoints;
  readonly node: NodeContext;
  readonly family: NftFamily;
  readonly comment: string;
  readonly counts: boolean;
}

/** A frontend under construction, and the classes whose chains it leads to. */
interface Draft {
  readonly members: readonly Member[];
  readonly lists: readonly (readonly [set: string, targets: readonly EndpointAddress[]])[];
  readonly classes: readonly LoadBalancingClass[];
}

const NOTHING: Draft = { members: [], lists: [], classes: [] };

const merge = (...drafts: readonly Draft[]): Draft => ({
  members: drafts.flatMap(({ members }) => members),
  lists: drafts.flatMap(({ lists }) => lists),
  classes: drafts.flatMap(({ classes }) => classes),
});

/** Compiles a service port. With `counts` the traffic of each frontend is counted. */
export const compile = (service: ServiceEndpoints, node: NodeContext, counts = false): Fragment<NftObject> => {
  const { port } = service;
  const input: NftCompileInput = { service, node, family: nftFamily(node.family), comment: commentOf(port), counts };
  return {
    owner: ownerOf(port.name),
    since: port.createdAt,
    objects: distinct([
      element({ set: CLUSTER_IPS, element: port.clusterIP }),
      ...frontendsOf(service, node).flatMap((frontend) => frontendObjects(input, frontend)),
      ...hairpins(input),
    ]),
  };
};

/** Drops duplicates: two frontends of a service port may lead to the same chain. */
const distinct = (objects: readonly NftObject[]): readonly NftObject[] => [
  ...new Map(objects.map((object) => [object.id, object])).values(),
];

/** Comments hold 127 bytes, as nft takes them. Characters that would end its quotes are replaced. */
const MAX_COMMENT = 127;

const commentOf = (port: ServicePort): string =>
  formatServicePortName(port.name)
    .replace(/[^ -~]|["\\]/g, '?')
    .slice(0, MAX_COMMENT);

const protocolOf = (port: ServicePort): string => port.name.protocol.toLowerCase();

const keyOf = ({ ip, protocol, port }: Frontend): Concat =>
  concat(...(ip === undefined ? [] : [ip]), protocol.toLowerCase(), port);

const frontendObjects = (input: NftCompileInput, frontend: Frontend): readonly NftObject[] => {
  const { family, service } = input;
  const space = frontend.kind === 'node-port' ? 'nodePort' : 'service';
  const key = keyOf(frontend);
  const draft = merge(
    frontend.isParted && isServed(frontend.inside)
      ? parted(input, frontend, space, key)
      : balance(input, space, key, endpointsOf(frontend.inside), {
          set: SETS[space].verdicts,
          list: SETS[space].endpoints,
          isLocal: false,
          isMarked: isMarked(frontend),
        }),
    refusal(input, space, key, frontend.outside),
    firewall(input, key, frontend.sources),
  );
  const seconds = service.port.affinitySeconds;
  const isSticky = seconds > 0 && draft.lists.length > 0;
  const targets = new Set(draft.lists.flatMap(([, list]) => list));
  const guards = isSticky
    ? [
        verdictMember(STICKY[space].timeouts, key, goto(rememberName(space, seconds)), input.comment),
        ...[...targets].map((target) => guard(space, key, target)),
      ]
    : [];
  const counters = input.counts ? counterMembers(space, key, input.comment) : [];
  const whole: FrontendElements = frontendElements(
    family,
    key,
    [...draft.members, ...guards, ...counters],
    new Map(draft.lists),
  );
  return [whole, ...draft.classes.flatMap(classChains), ...(isSticky ? stickyObjects(space, family, seconds) : [])];
};

/** Whether the frontend's chain marks packets for masquerade. ClusterIPs have one rule for all in base.ts. */
const isMarked = ({ kind, masquerade }: Frontend): boolean => kind !== 'cluster-ip' && masquerade === 'always';

/** Element that allows clients to be remembered with this endpoint. */
const guard = (space: KeySpace, key: Concat, target: EndpointAddress): Member => ({
  set: STICKY[space].endpoints,
  element: withTarget(key, target),
});

const verdictMember = (set: string, key: Concat, verdict: Verdict, comment: string): Member => ({
  set,
  element: [withComment(key, comment), verdict] satisfies Element,
});

interface BalancingMaps {
  readonly set: string;
  readonly list: string;
  readonly isLocal: boolean;
  readonly isMarked: boolean;
}

/** Verdict and list that balance over endpoints. Nothing without endpoints. */
const balance = (
  input: NftCompileInput,
  space: KeySpace,
  key: Concat,
  endpoints: readonly Endpoint[],
  to: BalancingMaps,
): Draft => {
  if (endpoints.length === 0) return NOTHING;
  const { family, node, service, comment } = input;
  const balancing: LoadBalancingClass = {
    family,
    space,
    isLocal: to.isLocal,
    mark: to.isMarked ? node.masqueradeMark : 0,
    isSticky: service.port.affinitySeconds > 0,
    count: endpoints.length,
  };
  return {
    members: [verdictMember(to.set, key, goto(className(balancing)), comment)],
    lists: [[to.list, endpoints.map(({ ip, port }) => targetOf(ip, port))]],
    classes: [balancing],
  };
};

/** Verdict of a frontend without endpoints. Source ranges are checked before it: excluded clients are dropped, not refused. */
const refusal = ({ comment }: NftCompileInput, space: KeySpace, key: Concat, choice: Choice): Draft => {
  if (isServed(choice)) return NOTHING;
  const verdict = choice === 'drop' ? drop : REFUSAL;
  return { ...NOTHING, members: [verdictMember(SETS[space].refusals, key, verdict, comment)] };
};

/** Two lists of endpoints: for pods and the node, and for clients outside the cluster. */
const parted = (input: NftCompileInput, frontend: Frontend, space: KeySpace, key: Concat): Draft => {
  const { verdicts, endpoints, insideVerdicts, localVerdicts, localEndpoints } = SETS[space];
  const entry = verdictMember(verdicts, key, goto(POLICY_LOCAL[space]), input.comment);
  const toInside = { set: insideVerdicts, list: endpoints, isLocal: false, isMarked: isMarked(frontend) };
  const toOutside = { set: localVerdicts, list: localEndpoints, isLocal: true, isMarked: isMarked(frontend) };
  return merge(
    { ...NOTHING, members: [entry] },
    balance(input, space, key, endpointsOf(frontend.inside), toInside),
    balance(input, space, key, endpointsOf(frontend.outside), toOutside),
  );
};

const firewall = ({ comment }: NftCompileInput, key: Concat, sources: Sources | undefined): Draft => {
  if (sources === undefined) return NOTHING;
  const { ranges, own } = sources;
  const others = own.filter((ip) => !ranges.some((cidr) => cidrContains(cidr, ip)));
  const members = [...outermost(ranges).map(rangeOf), ...others].map((source) => ({
    set: SOURCE_RANGES,
    element: concat(...key.concat, source),
  }));
  return { ...NOTHING, members: [verdictMember(FIREWALL, key, goto(FIREWALL_CHAIN), comment), ...members] };
};

/** Range as the kernel lists it: a single address without a prefix length. */
const rangeOf = (cidr: Cidr): Expression => {
  const network = networkOf(cidr);
  return cidr.prefix === cidr.bytes.length * 8 ? network.prefix.addr : network;
};

/** Drops ranges inside others: intervals of a set may not overlap. */
const outermost = (ranges: readonly Cidr[]): readonly Cidr[] => {
  const distinctOnes = [...new Map(ranges.map((cidr) => [cidr.text, cidr])).values()];
  return distinctOnes.filter(
    (cidr) =>
      !distinctOnes.some((other) => other.prefix < cidr.prefix && cidrContains(other, networkOf(cidr).prefix.addr)),
  );
};

/** Hairpin elements: a pod that reaches itself is masqueraded, or it would answer itself. */
const hairpins = ({ service: { port, reachable } }: NftCompileInput): readonly NftObject[] =>
  reachable
    .filter(({ isLocal }) => isLocal)
    .map(({ ip, port: number }) => element({ set: HAIRPIN, element: concat(ip, ip, protocolOf(port), number) }));
