/**
 * Dispatch lines of the frontends of one service port. Pure.
 *
 * A line in the nat table leads to the Service's chains. A frontend without endpoints has a line in the filter table
 * instead, which refuses (no endpoint at all) or drops (none that the traffic policy admits).
 */
import type { Endpoint } from '../../model/endpoint.ts';
import { type Choice, type Frontend, type FrontendAddress, type FrontendKind, isServed } from '../../model/frontend.ts';
import { formatServicePortName, type ServicePort } from '../../model/service.ts';
import type { ServiceEndpoints } from '../../model/topology.ts';
import { PROXY_FIREWALL, SERVICES, type TableName } from '../xtables/names.ts';
import { hostCidr, rejectTarget, rule, TO_LOCAL } from '../xtables/rule.ts';
import { EXTERNAL_SERVICES, NODEPORTS, serviceChains } from './names.ts';
import { type DispatchLine, type FrontendLines, frontendLines, type PacketDestination } from './objects.ts';

export const frontendObjects = (
  service: ServiceEndpoints,
  frontends: readonly Frontend[],
): readonly FrontendLines[] => [
  ...frontends.map((frontend) =>
    frontend.kind === 'cluster-ip' ? clusterIP(service, frontend) : external(service.port, frontend),
  ),
  ...(service.port.healthCheckNodePort === 0 ? [] : [healthCheck(service.port)]),
];

/** Chain that balances over these endpoints of the service port. */
export const chainOf = ({ port, local }: ServiceEndpoints, endpoints: readonly Endpoint[]): string => {
  const { svc, svl } = serviceChains(port.name);
  return endpoints === local ? svl : svc;
};

/** Source ranges need rules where there is an endpoint. Without one the filter table refuses or drops any call. */
export const isRestricted = ({ sources, inside }: Frontend): boolean => sources !== undefined && isServed(inside);

type CommentedDestination = PacketDestination & { readonly comment: string };

const line = (
  table: TableName,
  chain: string,
  { ip, protocol, port, comment }: CommentedDestination,
  target: string,
): DispatchLine => {
  const where = ip === undefined ? {} : { destination: hostCidr(ip) };
  // filter lines without an address match local destinations only: a packet forwarded to that port elsewhere must pass
  const local = ip === undefined && chain === EXTERNAL_SERVICES ? { matches: [TO_LOCAL] } : {};
  return {
    table,
    chain,
    to: { ip, protocol, port },
    rule: rule({ ...where, ...local, protocol, port, comment }, target),
  };
};

const at = ({ ip, protocol, port }: FrontendAddress): string =>
  ip === undefined ? `node-port ${protocol.toLowerCase()} ${port}` : `frontend ${ip} ${protocol.toLowerCase()} ${port}`;

const VERDICTS = {
  refuse: { comment: 'has no endpoints', target: rejectTarget },
  drop: { comment: 'has no local endpoints', target: () => 'DROP' },
} as const;

/** Filter line that refuses or drops calls where there is no endpoint. */
const noEndpoints = (
  { name, family }: ServicePort,
  chain: string,
  to: PacketDestination,
  choice: Choice,
): readonly DispatchLine[] => {
  if (isServed(choice)) return [];
  const { comment, target } = VERDICTS[choice];
  return [line('filter', chain, { ...to, comment: `${formatServicePortName(name)} ${comment}` }, target(family))];
};

const COMMENTS: Readonly<Record<FrontendKind, string>> = {
  'cluster-ip': 'cluster IP',
  'external-ip': 'external IP',
  'load-balancer-ip': 'loadbalancer IP',
  'node-port': 'node port',
};

const commented = ({ name }: ServicePort, { kind, ip, protocol, port }: FrontendAddress): CommentedDestination => ({
  ip,
  protocol,
  port,
  comment: `${formatServicePortName(name)} ${COMMENTS[kind]}`,
});

const clusterIP = (service: ServiceEndpoints, frontend: Frontend): FrontendLines => {
  const { port } = service;
  const to = commented(port, frontend);
  return frontendLines(
    at(frontend),
    isServed(frontend.inside)
      ? [line('nat', SERVICES, to, chainOf(service, frontend.inside))]
      : noEndpoints(port, SERVICES, to, frontend.inside),
  );
};

const external = (port: ServicePort, frontend: Frontend): FrontendLines => {
  const { ext, fw } = serviceChains(port.name);
  const to = commented(port, frontend);
  const isGuarded = isRestricted(frontend);
  const refused = { ...to, comment: `${formatServicePortName(port.name)} traffic not accepted by source ranges` };
  const chain = frontend.kind === 'node-port' ? NODEPORTS : SERVICES;
  return frontendLines(at(frontend), [
    ...(isServed(frontend.inside) ? [line('nat', chain, to, isGuarded ? fw : ext)] : []),
    ...(isGuarded ? [line('filter', PROXY_FIREWALL, refused, 'DROP')] : []),
    ...noEndpoints(port, EXTERNAL_SERVICES, to, frontend.outside),
  ]);
};

/** Health-check ports are accepted even where a host firewall closes the node. All ports of a Service share one. */
const healthCheck = ({ name, healthCheckNodePort: port }: ServicePort): FrontendLines => {
  const comment = `${name.namespace}/${name.name} health check node port`;
  const to = { ip: undefined, protocol: 'TCP' as const, port };
  return frontendLines(`health-check-port ${port}`, [line('filter', NODEPORTS, { ...to, comment }, 'ACCEPT')]);
};
