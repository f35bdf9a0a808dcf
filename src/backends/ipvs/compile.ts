/**
 * Compiles one service port to virtual servers, their real servers, addresses and set entries. Pure.
 *
 * Each address and port is a frontend of its own, granted to one of several Services as a whole. Under external policy
 * Local a frontend serves this node's endpoints. A second virtual server, selected by a packet mark, serves the cluster's
 * endpoints to pods and to the node itself, as in mode iptables. The number of rules does not grow with Services.
 */
import type { Fragment } from '../../dataplane/contract.ts';
import type { DestinationSettings, ServiceKey, ServiceSettings } from '../../ipvs-netlink/types.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { endpointsOf, frontendsOf, type Frontend as ModelFrontend, type Sources } from '../../model/frontend.ts';
import type { NodeContext } from '../../model/node.ts';
import { ownerOf, type ServicePort } from '../../model/service.ts';
import type { ServiceEndpoints } from '../../model/topology.ts';
import type { SetEntry, SetProtocol } from '../../netlink/ipset.ts';
import { nodeIPs } from './addresses.ts';
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

/** Input that the functions below pass on. */
interface Subject {
  readonly service: ServiceEndpoints;
  readonly node: NodeContext;
  readonly settings: ServiceSettings;
}

export const compile = (service: ServiceEndpoints, node: NodeContext, settings: IpvsSettings): Fragment<Wish> => {
  const { port } = service;
  const subject = { service, node, settings: serviceSettings(port, settings) };
  const [internal, ...others] = frontendsOf(service, node);
  const external = others.flatMap((front) => externalObjects(subject, front));
  return {
    owner: ownerOf(port.name),
    since: port.createdAt,
    notes: schedulerNotes(port, settings),
    objects: [
      ...(internal === undefined ? [] : clusterIP(subject, internal)),
      ...external,
      ...(port.externalPolicyLocal && external.length > 0 ? [wayAround(subject)] : []),
      ...(port.healthCheckNodePort === 0 ? [] : [healthCheck(port)]),
      ...loopBack(service, node),
    ],
  };
};

const externalObjects = (subject: Subject, front: ModelFrontend): readonly Wish[] => {
  const { ip, kind, policy } = front;
  if (ip === undefined) return nodePort(subject, front);
  const set = policy === 'Local' ? 'EXTERNAL-IP-LOCAL' : 'EXTERNAL-IP';
  const entries = kind === 'load-balancer-ip' ? balancerEntries(subject, front, ip) : [entryOf(subject, set, ip)];
  return [
    ...bound(ip, subject.node),
    frontend(placeId(front, ip), [...externalServer(subject, front, ip), ...entries], vacancy(front)),
  ];
};

const serviceSettings = (port: ServicePort, settings: IpvsSettings): ServiceSettings => {
  const scheduler = schedulerOf(port, settings);
  return {
    scheduler,
    persistenceSeconds: port.affinitySeconds,
    isOnePacket: false,
    hasFallback: false,
    // mh hashes the port too, as in kube-proxy: clients behind one address are spread
    hashesPort: scheduler === 'mh',
  };
};

const protocolOf = (port: ServicePort): SetProtocol => port.name.protocol.toLowerCase() as SetProtocol;

/** Binds the address to the device, unless the node has it anyway: binding it twice cuts the node off (k/k#75290). */
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

const at = ({ protocol, port }: ModelFrontend, ip: string) => ({ protocol, address: ip, port }) as const;

const placeId = ({ protocol, port }: ModelFrontend, ip: string): string =>
  `frontend ${ip} ${protocol.toLowerCase()} ${port}`;

const vacancy = ({ inside }: ModelFrontend): Pick<Frontend, 'isVacant'> => ({ isVacant: inside === 'refuse' });

const clusterIP = (subject: Subject, front: ModelFrontend): readonly Wish[] => {
  const ip = subject.service.port.clusterIP;
  const objects = [
    ...server(subject, at(front, ip), endpointsOf(front.inside)),
    entryOf(subject, 'CLUSTER-IP', ip),
    ...(front.inside === 'drop' ? [entryOf(subject, 'DROP-INTERNAL', ip)] : []),
  ];
  return [...bound(ip, subject.node), frontend(placeId(front, ip), objects, vacancy(front))];
};

const externalServer = (subject: Subject, front: ModelFrontend, ip: string): Frontend['objects'] => [
  ...server(subject, at(front, ip), endpointsOf(front.outside)),
  ...(front.outside === 'drop' ? [entryOf(subject, 'DROP-EXTERNAL', ip, { port: front.port })] : []),
  ...(front.policy === 'Local' ? [markEntry(subject, ip, front.port)] : []),
];

const balancerEntries = (subject: Subject, { policy, sources }: ModelFrontend, ip: string): readonly Entry[] => [
  entryOf(subject, 'LOAD-BALANCER', ip),
  ...(policy === 'Local' ? [entryOf(subject, 'LOAD-BALANCER-LOCAL', ip)] : []),
  ...(sources === undefined ? [] : sourceEntries(subject, ip, sources)),
];

const sourceEntries = (subject: Subject, ip: string, { ranges, own }: Sources): readonly Entry[] => [
  entryOf(subject, 'LOAD-BALANCER-FW', ip),
  ...ranges.map(({ text, prefix }) => {
    const [second = ''] = text.split('/');
    return entryOf(subject, 'LOAD-BALANCER-SOURCE-CIDR', ip, { second, prefix });
  }),
  ...(own.includes(ip) ? [entryOf(subject, 'LOAD-BALANCER-SOURCE-IP', ip, { second: ip })] : []),
];

/**
 * Two virtual servers of the cluster's endpoints, selected by packet mark, for all external frontends. One is for pods. The
 * other is for the node itself, whose packets also carry the masquerade bit. Entries of EXTERNAL-POLICY-MARK carry the
 * pods' mark, and KUBE-IPVS-OUT sets the masquerade bit.
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
 * Replaces persistence by scheduler mh. A persistent virtual server of a mark keeps the destination port
 * (ip_vs_sched_persist: a mark stands for many ports), so a packet would go to the NodePort's number at the endpoint.
 * Hashing the client's address keeps a client at one endpoint too.
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

/** Compiles to nothing on a node without an address for NodePorts: the sets of ports would match all its addresses. */
const nodePort = (subject: Subject, front: ModelFrontend): readonly Frontend[] => {
  const ips = nodeIPs(subject.node);
  if (ips.length === 0) return [];
  return [
    ...bitmap(subject.service.port),
    ...ips.map((ip) => {
      const objects = [
        ...externalServer(subject, front, ip),
        ...(front.protocol === 'SCTP' ? hashEntries(subject, ip) : []),
      ];
      const place = placeId(front, ip);
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

/** Entries of address and port for SCTP, which has no bitmap set of ports. */
const hashEntries = (subject: Subject, ip: string): readonly Entry[] => {
  const { nodePort: port, externalPolicyLocal } = subject.service.port;
  return [
    entryOf(subject, 'NODE-PORT-SCTP-HASH', ip, { port }),
    ...(externalPolicyLocal ? [entryOf(subject, 'NODE-PORT-LOCAL-SCTP-HASH', ip, { port })] : []),
  ];
};

/** Health-check ports are accepted in table filter. All ports of a Service share one. */
const healthCheck = ({ healthCheckNodePort, family }: ServicePort): Entry =>
  entry(setDefinition('HEALTH-CHECK-NODE-PORT', family), { port: healthCheckNodePort });

/** Hairpin entries: a pod that reaches itself is masqueraded, or it would answer itself. */
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
