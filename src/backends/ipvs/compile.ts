/**
 * One service port to virtual servers, their real servers, addresses and set entries. Pure.
 *
 * Each address and port is a frontend of its own, so that of two Services that claim it one gets all of it. Under external
 * policy Local a frontend serves this node's endpoints, and a second virtual server, found by a packet mark, serves
 * the cluster's endpoints to pods and to the node itself: as in mode iptables, and with rules that do not grow.
 */
import type { Fragment } from '../../dataplane/contract.ts';
import type { DestinationSettings, ServiceKey, ServiceSettings } from '../../ipvs-netlink/types.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { NodeContext } from '../../model/node.ts';
import { ownerOf, type ServicePort } from '../../model/service.ts';
import type { ServiceEndpoints } from '../../model/topology.ts';
import type { SetEntry, SetProtocol } from '../../netlink/ipset.ts';
import { nodeIPs } from './addresses.ts';
import { sourceRangeEntries } from './firewall.ts';
import { markKey, markName } from './marks.ts';
import { type SetName, setDefinition } from './names.ts';
import {
  address,
  type Entry,
  entry,
  type Frontend,
  frontend,
  markedEntry,
  realServer,
  virtualServer,
  type Wish,
} from './objects.ts';

import { type IpvsSettings, schedulerNotes, schedulerOf } from './settings.ts';

const MASQUERADE: DestinationSettings = { forwarding: 'masquerade', weight: 1, upperThreshold: 0, lowerThreshold: 0 };

/** What the functions below pass on. */
interface Subject {
  readonly service: ServiceEndpoints;
  readonly node: NodeContext;
  readonly settings: ServiceSettings;
}

export const compile = (service: ServiceEndpoints, node: NodeContext, settings: IpvsSettings): Fragment<Wish> => {
  const { port } = service;
  const subject = { service, node, settings: serviceSettings(port, settings) };
  const ways = waysIn(subject);
  return {
    owner: ownerOf(port.name),
    since: port.createdAt,
    notes: schedulerNotes(port, settings),
    objects: [
      ...bound(port.clusterIP, node),
      clusterIP(subject),
      ...ways,
      ...(port.externalPolicyLocal && ways.length > 0 ? [wayAround(subject)] : []),
      ...(port.healthCheckNodePort === 0 ? [] : [healthCheck(port)]),
      ...loopBack(service, node),
    ],
  };
};

/** All but the ClusterIP. */
const waysIn = (subject: Subject): readonly Wish[] => {
  const { service, node } = subject;
  const { port } = service;
  const isLocal = port.externalPolicyLocal ? '-LOCAL' : '';
  const vips = port.loadBalancerVIPs.filter((ip) => ip !== port.clusterIP);
  // one frontend an address: an external IP that is also a VIP is guarded by the source ranges
  const externalIPs = port.externalIPs.filter((ip) => ip !== port.clusterIP && !vips.includes(ip));
  return [
    ...externalIPs.flatMap((ip) => [
      ...bound(ip, node),
      vip(subject, ip, [entryOf(subject, `EXTERNAL-IP${isLocal}`, ip)]),
    ]),
    ...vips.flatMap((ip) => [...bound(ip, node), vip(subject, ip, balancerEntries(subject, ip))]),
    ...(port.nodePort === 0 ? [] : nodePort(subject)),
  ];
};

const serviceSettings = (port: ServicePort, settings: IpvsSettings): ServiceSettings => {
  const scheduler = schedulerOf(port, settings);
  return {
    scheduler,
    persistenceSeconds: port.affinitySeconds,
    isOnePacket: false,
    hasFallback: false,
    // as kube-proxy has it: clients behind one address spread
    hashesPort: scheduler === 'mh',
  };
};

const protocolOf = (port: ServicePort): SetProtocol => port.name.protocol.toLowerCase() as SetProtocol;

/** The address on the device, unless the node has it anyway: binding it twice would cut the node off (k/k#75290). */
const bound = (ip: string, { family, localAddresses }: NodeContext): readonly Wish[] =>
  localAddresses.has(ip) ? [] : [address(ip), entry(setDefinition('IPVS-IPS', family), { address: ip })];

const entryOf = ({ service: { port } }: Subject, set: SetName, ip: string, more: SetEntry = {}): Entry =>
  entry(setDefinition(set, port.family), { address: ip, protocol: protocolOf(port), port: port.port, ...more });

const server = (
  { service: { port }, settings }: Subject,
  key: ServiceKey,
  endpoints: readonly Endpoint[],
): Frontend['objects'] => {
  const drains = port.name.protocol !== 'UDP';
  return [
    virtualServer(key, settings),
    ...endpoints.map((endpoint) => realServer(key, { address: endpoint.ip, port: endpoint.port }, MASQUERADE, drains)),
  ];
};

const at = ({ service: { port } }: Subject, ip: string, number: number) =>
  ({ protocol: port.name.protocol, address: ip, port: number }) as const;

const placeId = (port: ServicePort, ip: string, number: number): string =>
  `frontend ${ip} ${protocolOf(port)} ${number}`;

const frontendAt = (
  { service: { port, hasAny } }: Subject,
  ip: string,
  number: number,
  objects: Frontend['objects'],
): Frontend => frontend(placeId(port, ip, number), objects, { isVacant: !hasAny });

const clusterIP = (subject: Subject): Frontend => {
  const { port, local, cluster, hasAny } = subject.service;
  const ip = port.clusterIP;
  const isDropped = hasAny && port.internalPolicyLocal && local.length === 0;
  return frontendAt(subject, ip, port.port, [
    ...server(subject, at(subject, ip, port.port), port.internalPolicyLocal ? local : cluster),
    entryOf(subject, 'CLUSTER-IP', ip),
    ...(isDropped ? [entryOf(subject, 'DROP-INTERNAL', ip)] : []),
  ]);
};

/** An external or load-balancer IP. */
const vip = (subject: Subject, ip: string, entries: readonly Entry[]): Frontend => {
  const { port } = subject.service.port;
  return frontendAt(subject, ip, port, [...externalServer(subject, ip, port), ...entries]);
};

const externalServer = (subject: Subject, ip: string, number: number): Frontend['objects'] => {
  const { port, local, cluster, hasAny } = subject.service;
  const isDropped = hasAny && port.externalPolicyLocal && local.length === 0;
  return [
    ...server(subject, at(subject, ip, number), port.externalPolicyLocal ? local : cluster),
    ...(isDropped ? [entryOf(subject, 'DROP-EXTERNAL', ip, { port: number })] : []),
    ...(port.externalPolicyLocal ? [markEntry(subject, ip, number)] : []),
  ];
};

const balancerEntries = (subject: Subject, ip: string): readonly Entry[] => {
  const { port } = subject.service;
  return [
    entryOf(subject, 'LOAD-BALANCER', ip),
    ...(port.externalPolicyLocal ? [entryOf(subject, 'LOAD-BALANCER-LOCAL', ip)] : []),
    ...sourceRangeEntries(subject.service, subject.node, ip),
  ];
};

/**
 * Two virtual servers of the cluster's endpoints, for all ways in: packets of the node itself carry the masquerade mark
 * besides. The entries of the ways in carry the pods' mark; the chain for the node's own packets adds the other bit.
 */
const wayAround = (subject: Subject): Frontend => {
  const { port, cluster } = subject.service;
  const own = { ...subject, settings: withoutPersistence(subject.settings) };
  const mark = markName(port);
  return frontend(`mark ${mark}`, [
    ...[false, true].flatMap((isOwn) => server(own, markKey(mark, port.family, isOwn), cluster)),
    markedEntry(
      setDefinition('EXTERNAL-POLICY-OWNER', port.family),
      { address: port.clusterIP, protocol: protocolOf(port), port: port.port },
      mark,
    ),
  ]);
};

/**
 * A persistent virtual server that is found by a mark leaves the port as it is (ip_vs_sched_persist: it stands for many
 * ports), so a client would be sent to the NodePort's number at the endpoint. Hashing its address holds it in one place too.
 */
const withoutPersistence = (settings: ServiceSettings): ServiceSettings =>
  settings.persistenceSeconds === 0
    ? settings
    : { ...settings, persistenceSeconds: 0, scheduler: 'mh', hashesPort: false };

const markEntry = ({ service: { port } }: Subject, ip: string, number: number): Entry =>
  markedEntry(
    setDefinition('EXTERNAL-POLICY-MARK', port.family),
    { address: ip, protocol: protocolOf(port), port: number },
    markName(port),
  );

/** Nothing on a node without an address for NodePorts: the sets of ports would speak of all that it has. */
const nodePort = (subject: Subject): readonly Frontend[] => {
  const { service, node } = subject;
  const { port } = service;
  const { protocol } = port.name;
  const ips = nodeIPs(node);
  if (ips.length === 0) return [];
  const number = port.nodePort;
  return [
    ...bitmap(port),
    ...ips.map((ip) => {
      const objects = [
        ...externalServer(subject, ip, number),
        ...(protocol === 'SCTP' ? hashEntries(subject, ip) : []),
      ];
      const place = placeId(port, ip, number);
      return frontend(`node-port at ${place}`, objects, { yieldsTo: place });
    }),
  ];
};

const bitmap = ({
  name: { protocol },
  nodePort: number,
  externalPolicyLocal,
  family,
}: ServicePort): readonly Frontend[] => {
  if (protocol === 'SCTP') return [];
  const entries = (set: SetName): readonly Entry[] => [entry(setDefinition(set, family), { port: number })];
  const local = externalPolicyLocal ? entries(`NODE-PORT-LOCAL-${protocol}`) : [];
  return [frontend(`node-port ${protocol.toLowerCase()} ${number}`, [...entries(`NODE-PORT-${protocol}`), ...local])];
};

/** SCTP has no set of ports. */
const hashEntries = (subject: Subject, ip: string): readonly Entry[] => {
  const { nodePort: port, externalPolicyLocal } = subject.service.port;
  return [
    entryOf(subject, 'NODE-PORT-SCTP-HASH', ip, { port }),
    ...(externalPolicyLocal ? [entryOf(subject, 'NODE-PORT-LOCAL-SCTP-HASH', ip, { port })] : []),
  ];
};

/** The load balancer's health check must reach the node. All ports of a Service share it. */
const healthCheck = ({ healthCheckNodePort, family }: ServicePort): Entry =>
  entry(setDefinition('HEALTH-CHECK-NODE-PORT', family), { port: healthCheckNodePort });

/** A pod that reaches itself must see another source than itself. */
const loopBack = ({ port, reachable }: ServiceEndpoints, { family }: NodeContext): readonly Entry[] =>
  reachable
    .filter(({ isLocal }) => isLocal)
    .map(({ ip, port: number }) =>
      entry(setDefinition('LOOP-BACK', family), {
        address: ip,
        protocol: protocolOf(port),
        port: number,
        second: ip,
      }),
    );
