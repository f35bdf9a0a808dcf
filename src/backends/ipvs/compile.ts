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
import { nodePortMark, vipMark } from './marks.ts';
import { type SetName, setDefinition } from './names.ts';
import {
  address,
  type Entry,
  entry,
  type Frontend,
  frontend,
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
  const isLocal = port.externalPolicyLocal ? '-LOCAL' : '';
  return {
    owner: ownerOf(port.name),
    since: port.createdAt,
    notes: schedulerNotes(port, settings),
    objects: [
      ...bound(port.clusterIP, node),
      clusterIP(subject),
      ...port.externalIPs.flatMap((ip) => [
        ...bound(ip, node),
        ...vip(subject, ip, [entryOf(subject, `EXTERNAL-IP${isLocal}`, ip)]),
      ]),
      ...port.loadBalancerVIPs.flatMap((ip) => [...bound(ip, node), ...vip(subject, ip, balancerEntries(subject, ip))]),
      ...(port.nodePort === 0 ? [] : nodePort(subject)),
      ...(port.healthCheckNodePort === 0 ? [] : [healthCheck(port)]),
      ...loopBack(service, node),
    ],
  };
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
  localAddresses.includes(ip) ? [] : [address(ip), entry(setDefinition('IPVS-IPS', family), { address: ip })];

const entryOf = ({ service: { port } }: Subject, set: SetName, ip: string, more: SetEntry = {}): Entry =>
  entry(setDefinition(set, port.family), { address: ip, protocol: protocolOf(port), port: port.port, ...more });

const server = (key: ServiceKey, settings: ServiceSettings, endpoints: readonly Endpoint[]): Frontend['objects'] => [
  virtualServer(key, settings),
  ...endpoints.map(({ ip, port }) => realServer(key, { address: ip, port }, MASQUERADE)),
];

const at = ({ service: { port } }: Subject, ip: string, number: number) =>
  ({ protocol: port.name.protocol, address: ip, port: number }) as const;

const frontendAt = (subject: Subject, ip: string, number: number, objects: Frontend['objects']): Frontend =>
  frontend(`frontend ${ip} ${subject.service.port.name.protocol.toLowerCase()} ${number}`, objects);

const clusterIP = (subject: Subject): Frontend => {
  const { port, local, cluster, hasAny } = subject.service;
  const ip = port.clusterIP;
  const isDropped = hasAny && port.internalPolicyLocal && local.length === 0;
  return frontendAt(subject, ip, port.port, [
    ...server(at(subject, ip, port.port), subject.settings, port.internalPolicyLocal ? local : cluster),
    entryOf(subject, 'CLUSTER-IP', ip),
    ...(isDropped ? [entryOf(subject, 'DROP-INTERNAL', ip)] : []),
  ]);
};

/** An external or load-balancer IP, and under policy Local the other way to it. */
const vip = (subject: Subject, ip: string, entries: readonly Entry[]): readonly Frontend[] => {
  const { port } = subject.service;
  return [
    frontendAt(subject, ip, port.port, [...externalServer(subject, ip, port.port), ...entries]),
    ...marked(subject, vipMark(ip, port), [entryOf(subject, 'EXTERNAL-POLICY-MARK', ip)]),
  ];
};

const externalServer = (subject: Subject, ip: string, number: number): Frontend['objects'] => {
  const { port, local, cluster, hasAny } = subject.service;
  const isDropped = hasAny && port.externalPolicyLocal && local.length === 0;
  return [
    ...server(at(subject, ip, number), subject.settings, port.externalPolicyLocal ? local : cluster),
    ...(isDropped ? [entryOf(subject, 'DROP-EXTERNAL', ip, { port: number })] : []),
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
 * Two virtual servers of the cluster's endpoints: packets of the node itself carry the masquerade mark besides. The mark
 * of each entry is the pods'; the chain for the node's own packets adds the other bit.
 */
const marked = (subject: Subject, plainMark: number, entries: readonly Entry[]): readonly Frontend[] => {
  const { service, node, settings } = subject;
  const { port, cluster } = service;
  if (!port.externalPolicyLocal) return [];
  const value = withoutBit(plainMark, node.masqueradeMark);
  const servers = [value, (value | node.masqueradeMark) >>> 0].flatMap((fwmark) =>
    server({ fwmark, family: port.family }, settings, cluster),
  );
  const withMark = entries.map(({ set, entry: e }) => entry(set, { ...e, mark: { value, mask: 0xffffffff } }));
  return [frontend(`mark ${value}`, [...servers, ...withMark])];
};

/** Makes room for a bit that must not be part of a number. */
const withoutBit = (value: number, bit: number): number => {
  const low = value % bit;
  return (value - low) * 2 + low;
};

const nodePort = (subject: Subject): readonly Frontend[] => {
  const { service, node } = subject;
  const { port } = service;
  const { protocol } = port.name;
  const ips = nodeIPs(node);
  const number = { port: port.nodePort };
  const portEntries = (set: SetName): readonly Entry[] => [entry(setDefinition(set, port.family), number)];
  const isSctp = protocol === 'SCTP';
  const hashEntries = (ip: string): readonly Entry[] => [
    entryOf(subject, 'NODE-PORT-SCTP-HASH', ip, number),
    ...(port.externalPolicyLocal ? [entryOf(subject, 'NODE-PORT-LOCAL-SCTP-HASH', ip, number)] : []),
  ];
  const bitmap = isSctp
    ? []
    : [
        ...portEntries(`NODE-PORT-${protocol}`),
        ...(port.externalPolicyLocal ? portEntries(`NODE-PORT-LOCAL-${protocol}`) : []),
      ];
  return [
    ...(bitmap.length === 0 ? [] : [frontend(`node-port ${protocol.toLowerCase()} ${port.nodePort}`, bitmap)]),
    ...ips.map((ip) =>
      frontendAt(subject, ip, port.nodePort, [
        ...externalServer(subject, ip, port.nodePort),
        ...(isSctp ? hashEntries(ip) : []),
      ]),
    ),
    ...marked(
      subject,
      nodePortMark(port),
      ips.map((ip) => entryOf(subject, 'EXTERNAL-POLICY-MARK', ip, number)),
    ),
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
