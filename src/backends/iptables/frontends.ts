/**
 * The addresses and ports of one service port, and what happens to a packet that goes there. Pure.
 *
 * In the nat table a line leads to the Service's chains; where there is nobody to lead to, a line in the filter table
 * refuses (no endpoint at all) or drops (none that the traffic policy admits).
 */
import type { IPFamily } from '../../model/address.ts';
import type { Protocol } from '../../model/kubernetes.ts';
import { formatServicePortName, type ServicePort } from '../../model/service.ts';
import { hasExternalEndpoints, hasInternalEndpoints, type ServiceEndpoints } from '../../model/topology.ts';
import { PROXY_FIREWALL, SERVICES, type Table } from '../xtables/names.ts';
import { hostCidr, rejectTarget, rule, TO_LOCAL } from '../xtables/rule.ts';
import { EXTERNAL_SERVICES, NODEPORTS, serviceChains } from './names.ts';
import { type Destination, type Frontend, frontend, type Line } from './objects.ts';
import { isRestricted } from './verdict.ts';

export const frontends = (service: ServiceEndpoints): readonly Frontend[] => {
  const { port } = service;
  const vips = port.loadBalancerVIPs.filter((ip) => ip !== port.clusterIP);
  // one frontend an address: an external IP that is also a VIP is guarded by the source ranges
  const externalIPs = port.externalIPs.filter((ip) => ip !== port.clusterIP && !vips.includes(ip));
  return [
    clusterIP(service),
    ...externalIPs.map((ip) => externalIP(service, ip)),
    ...vips.map((ip) => loadBalancerVIP(service, ip)),
    ...(port.nodePort === 0 ? [] : [nodePort(service)]),
    ...(port.healthCheckNodePort === 0 ? [] : [healthCheck(port)]),
  ];
};

type To = Destination & { readonly comment: string };

const line = (table: Table, chain: string, { ip, protocol, port, comment }: To, target: string): Line => {
  const where = ip === undefined ? {} : { destination: hostCidr(ip) };
  // without an address a filter line must not refuse what merely passes through to that port elsewhere
  const local = ip === undefined && chain === EXTERNAL_SERVICES ? { matches: [TO_LOCAL] } : {};
  return {
    table,
    chain,
    to: { ip, protocol, port },
    rule: rule({ ...where, ...local, protocol, port, comment }, target),
  };
};

const at = (ip: string | undefined, protocol: Protocol, port: number): string =>
  ip === undefined ? `node-port ${protocol.toLowerCase()} ${port}` : `frontend ${ip} ${protocol.toLowerCase()} ${port}`;

const noEndpoints = (chain: string, service: ServiceEndpoints, to: Omit<To, 'comment'>): Line => {
  const name = formatServicePortName(service.port.name);
  const comment = service.hasAny ? `${name} has no local endpoints` : `${name} has no endpoints`;
  return line('filter', chain, { ...to, comment }, verdict(service.hasAny, service.port.family));
};

const verdict = (hasAny: boolean, family: IPFamily): string => (hasAny ? 'DROP' : rejectTarget(family));

const clusterIP = (service: ServiceEndpoints): Frontend => {
  const { name, clusterIP: ip, port, internalPolicyLocal } = service.port;
  const to = { ip, protocol: name.protocol, port };
  const id = at(ip, name.protocol, port);
  if (!hasInternalEndpoints(service)) return frontend(id, [noEndpoints(SERVICES, service, to)]);
  const chains = serviceChains(name);
  const comment = `${formatServicePortName(name)} cluster IP`;
  return frontend(id, [line('nat', SERVICES, { ...to, comment }, internalPolicyLocal ? chains.svl : chains.svc)]);
};

const externalIP = (service: ServiceEndpoints, ip: string): Frontend => {
  const { name, port } = service.port;
  const to = { ip, protocol: name.protocol, port };
  const comment = `${formatServicePortName(name)} external IP`;
  return frontend(at(ip, name.protocol, port), [
    ...(service.hasAny ? [line('nat', SERVICES, { ...to, comment }, serviceChains(name).ext)] : []),
    ...(hasExternalEndpoints(service) ? [] : [noEndpoints(EXTERNAL_SERVICES, service, to)]),
  ]);
};

const loadBalancerVIP = (service: ServiceEndpoints, ip: string): Frontend => {
  const { name, port } = service.port;
  const chains = serviceChains(name);
  const to = { ip, protocol: name.protocol, port };
  const comment = `${formatServicePortName(name)} loadbalancer IP`;
  const restricted = isRestricted(service);
  const refused = { ...to, comment: `${formatServicePortName(name)} traffic not accepted by source ranges` };
  return frontend(at(ip, name.protocol, port), [
    ...(service.hasAny ? [line('nat', SERVICES, { ...to, comment }, restricted ? chains.fw : chains.ext)] : []),
    ...(restricted ? [line('filter', PROXY_FIREWALL, refused, 'DROP')] : []),
    ...(hasExternalEndpoints(service) ? [] : [noEndpoints(EXTERNAL_SERVICES, service, to)]),
  ]);
};

const nodePort = (service: ServiceEndpoints): Frontend => {
  const { name, nodePort: port } = service.port;
  const to = { ip: undefined, protocol: name.protocol, port };
  const comment = `${formatServicePortName(name)} node port`;
  return frontend(at(undefined, name.protocol, port), [
    ...(service.hasAny ? [line('nat', NODEPORTS, { ...to, comment }, serviceChains(name).ext)] : []),
    ...(hasExternalEndpoints(service) ? [] : [noEndpoints(EXTERNAL_SERVICES, service, to)]),
  ]);
};

/** The load balancer's health check must reach the node even where a firewall guards it. All ports of a Service share it. */
const healthCheck = ({ name, healthCheckNodePort: port }: ServicePort): Frontend => {
  const comment = `${name.namespace}/${name.name} health check node port`;
  const to = { ip: undefined, protocol: 'TCP' as const, port };
  return frontend(`health-check-port ${port}`, [line('filter', NODEPORTS, { ...to, comment }, 'ACCEPT')]);
};
