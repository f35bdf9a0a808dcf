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
import { endpointsOf, type Frontend, frontendsOf, type Sources } from '../../model/frontend.ts';
import type { NodeContext } from '../../model/node.ts';
import { ownerOf, type ServicePort } from '../../model/service.ts';
import type { ServiceEndpoints } from '../../model/topology.ts';
import type { SetEntry, SetProtocol } from '../../netlink/ipset.ts';
import { nodeIPs } from './addresses.ts';
import { markKey, markName } from './marks.ts';
import { type SetName, setDefinition } from './names.ts';
import {
  address,
  type DesiredIpvsObject,
  entry,
  type FrontendServers,
  frontendServers,
  type IpSetEntry,
  markedEntry,
  realServer,
  virtualServer,
} from './objects.ts';

import { type IpvsSettings, schedulerNotes, schedulerOf } from './settings.ts';

const MASQUERADE: DestinationSettings = { forwarding: 'masquerade', weight: 1, upperThreshold: 0, lowerThreshold: 0 };

/** Input that the functions below pass on. */
interface IpvsCompileInput {
  readonly service: ServiceEndpoints;
  readonly node: NodeContext;
  readonly settings: ServiceSettings;
}

export const compile = (
  service: ServiceEndpoints,
  node: NodeContext,
  settings: IpvsSettings,
): Fragment<DesiredIpvsObject> => {
  const { port } = service;
  const input = { service, node, settings: serviceSettings(port, settings) };
  const [internal, ...others] = frontendsOf(service, node);
  const external = others.flatMap((frontend) => externalObjects(input, frontend));
  return {
    owner: ownerOf(port.name),
    since: port.createdAt,
    notes: schedulerNotes(port, settings),
    objects: [
      ...(internal === undefined ? [] : clusterIP(input, internal)),
      ...external,
      ...(others.some(({ isParted }) => isParted) && external.length > 0 ? [fwmarkServers(input)] : []),
      ...(port.healthCheckNodePort === 0 ? [] : [healthCheck(port)]),
      ...loopBack(service, node),
    ],
  };
};

const externalObjects = (input: IpvsCompileInput, frontend: Frontend): readonly DesiredIpvsObject[] => {
  const { ip, kind } = frontend;
  if (ip === undefined) return nodePort(input, frontend);
  const set = keepsSource(frontend) ? 'EXTERNAL-IP-LOCAL' : 'EXTERNAL-IP';
  const entries = kind === 'load-balancer-ip' ? balancerEntries(input, frontend, ip) : [entryOf(input, set, ip)];
  return [
    ...boundAddress(ip, input.node),
    frontendServers(frontendId(frontend, ip), [...externalServer(input, frontend, ip), ...entries], vacancy(frontend)),
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
const boundAddress = (ip: string, { family, localAddresses }: NodeContext): readonly DesiredIpvsObject[] =>
  localAddresses.has(ip) ? [] : [address(ip), entry(setDefinition('IPVS-IPS', family), { address: ip })];

const entryOf = ({ service: { port } }: IpvsCompileInput, set: SetName, ip: string, more: SetEntry = {}): IpSetEntry =>
  entry(setDefinition(set, port.family), { address: ip, protocol: protocolOf(port), port: port.port, ...more });

const server = (
  { service: { port }, settings }: IpvsCompileInput,
  key: ServiceKey,
  endpoints: readonly Endpoint[],
): FrontendServers['objects'] => {
  const drains = port.name.protocol !== 'UDP';
  return [
    virtualServer(key, settings),
    ...endpoints.map((endpoint) => realServer(key, { address: endpoint.ip, port: endpoint.port }, MASQUERADE, drains)),
  ];
};

const serviceKey = ({ protocol, port }: Frontend, ip: string) => ({ protocol, address: ip, port }) as const;

const frontendId = ({ protocol, port }: Frontend, ip: string): string =>
  `frontend ${ip} ${protocol.toLowerCase()} ${port}`;

/** The -LOCAL sets hold what is not masqueraded. */
const keepsSource = ({ masquerade }: Frontend): boolean => masquerade === 'never';

const vacancy = ({ inside }: Frontend): Pick<FrontendServers, 'isVacant'> => ({ isVacant: inside === 'refuse' });

const clusterIP = (input: IpvsCompileInput, frontend: Frontend): readonly DesiredIpvsObject[] => {
  const ip = input.service.port.clusterIP;
  const objects = [
    ...server(input, serviceKey(frontend, ip), endpointsOf(frontend.inside)),
    entryOf(input, 'CLUSTER-IP', ip),
    ...(frontend.inside === 'drop' ? [entryOf(input, 'DROP-INTERNAL', ip)] : []),
  ];
  return [...boundAddress(ip, input.node), frontendServers(frontendId(frontend, ip), objects, vacancy(frontend))];
};

const externalServer = (input: IpvsCompileInput, frontend: Frontend, ip: string): FrontendServers['objects'] => [
  ...server(input, serviceKey(frontend, ip), endpointsOf(frontend.outside)),
  ...(frontend.outside === 'drop' ? [entryOf(input, 'DROP-EXTERNAL', ip, { port: frontend.port })] : []),
  ...(frontend.isParted ? [markEntry(input, ip, frontend.port)] : []),
];

const balancerEntries = (input: IpvsCompileInput, frontend: Frontend, ip: string): readonly IpSetEntry[] => [
  entryOf(input, 'LOAD-BALANCER', ip),
  ...(keepsSource(frontend) ? [entryOf(input, 'LOAD-BALANCER-LOCAL', ip)] : []),
  ...(frontend.sources === undefined ? [] : sourceEntries(input, ip, frontend.sources)),
];

const sourceEntries = (input: IpvsCompileInput, ip: string, { ranges, own }: Sources): readonly IpSetEntry[] => [
  entryOf(input, 'LOAD-BALANCER-FW', ip),
  ...ranges.map(({ text, prefix }) => {
    const [second = ''] = text.split('/');
    return entryOf(input, 'LOAD-BALANCER-SOURCE-CIDR', ip, { second, prefix });
  }),
  ...(own.includes(ip) ? [entryOf(input, 'LOAD-BALANCER-SOURCE-IP', ip, { second: ip })] : []),
];

/**
 * Two virtual servers of the cluster's endpoints, selected by packet mark, for all external frontends. One is for pods. The
 * other is for the node itself, whose packets also carry the masquerade bit. Entries of EXTERNAL-POLICY-MARK carry the
 * pods' mark, and KUBE-IPVS-OUT sets the masquerade bit.
 */
const fwmarkServers = (input: IpvsCompileInput): FrontendServers => {
  const { port, cluster } = input.service;
  const own = { ...input, settings: withoutPersistence(input.settings) };
  const mark = markName(port);
  return frontendServers(`mark ${mark}`, [
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

const markEntry = ({ service: { port } }: IpvsCompileInput, ip: string, number: number): IpSetEntry =>
  markedEntry(
    setDefinition('EXTERNAL-POLICY-MARK', port.family),
    { address: ip, protocol: protocolOf(port), port: number },
    markName(port),
  );

/** Compiles to nothing on a node without an address for NodePorts: the sets of ports would match all its addresses. */
const nodePort = (input: IpvsCompileInput, frontend: Frontend): readonly FrontendServers[] => {
  const ips = nodeIPs(input.node);
  if (ips.length === 0) return [];
  return [
    ...bitmap(input.service.port, frontend),
    ...ips.map((ip) => {
      const objects = [
        ...externalServer(input, frontend, ip),
        ...(frontend.protocol === 'SCTP' ? hashEntries(input, frontend, ip) : []),
      ];
      const yieldsTo = frontendId(frontend, ip);
      return frontendServers(`node-port at ${yieldsTo}`, objects, { yieldsTo });
    }),
  ];
};

const bitmap = ({ family }: ServicePort, frontend: Frontend): readonly FrontendServers[] => {
  const { protocol, port: number } = frontend;
  if (protocol === 'SCTP') return [];
  const entries = (set: SetName): readonly IpSetEntry[] => [entry(setDefinition(set, family), { port: number })];
  const local = keepsSource(frontend) ? entries(`NODE-PORT-LOCAL-${protocol}`) : [];
  return [
    frontendServers(`node-port ${protocol.toLowerCase()} ${number}`, [...entries(`NODE-PORT-${protocol}`), ...local]),
  ];
};

/** Entries of address and port for SCTP, which has no bitmap set of ports. */
const hashEntries = (input: IpvsCompileInput, frontend: Frontend, ip: string): readonly IpSetEntry[] => {
  const { port } = frontend;
  return [
    entryOf(input, 'NODE-PORT-SCTP-HASH', ip, { port }),
    ...(keepsSource(frontend) ? [entryOf(input, 'NODE-PORT-LOCAL-SCTP-HASH', ip, { port })] : []),
  ];
};

/** Health-check ports are accepted in table filter. All ports of a Service share one. */
const healthCheck = ({ healthCheckNodePort, family }: ServicePort): IpSetEntry =>
  entry(setDefinition('HEALTH-CHECK-NODE-PORT', family), { port: healthCheckNodePort });

/** Hairpin entries: a pod that reaches itself is masqueraded, or it would answer itself. */
const loopBack = ({ port, reachable }: ServiceEndpoints, { family }: NodeContext): readonly IpSetEntry[] =>
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
