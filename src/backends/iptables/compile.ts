/**
 * Compiles one service port to its chains and dispatch lines, in kube-proxy's layout. Pure.
 *
 * KUBE-SVC balances over the cluster's endpoints, KUBE-SVL over the local ones. KUBE-EXT receives external traffic, and
 * KUBE-FW stands before it where source ranges apply. KUBE-SEP translates to one endpoint.
 */
import type { Fragment } from '../../dataplane/contract.ts';
import { joinHostPort } from '../../model/address.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import { type Frontend, frontendsOf, isServed, type Sources } from '../../model/frontend.ts';
import type { NodeContext } from '../../model/node.ts';
import { formatServicePortName, ownerOf, type ServicePort } from '../../model/service.ts';
import type { ServiceEndpoints } from '../../model/topology.ts';
import { MARK_MASQ } from '../xtables/names.ts';
import { chain, type XtablesChain } from '../xtables/objects.ts';
import { FROM_LOCAL, fromPod, hostCidr, oneIn, rule } from '../xtables/rule.ts';
import { chainOf, frontendObjects, isRestricted } from './frontends.ts';
import { endpointChain, serviceChains } from './names.ts';
import type { DesiredIptablesObject } from './objects.ts';

export const compile = (service: ServiceEndpoints, node: NodeContext): Fragment<DesiredIptablesObject> => {
  const frontends = frontendsOf(service, node);
  return {
    owner: ownerOf(service.port.name),
    since: service.port.createdAt,
    objects: [...frontendObjects(service, frontends), ...chains(service, node, frontends)],
  };
};

const chains = (
  service: ServiceEndpoints,
  node: NodeContext,
  frontends: readonly Frontend[],
): readonly XtablesChain[] => {
  const { port, cluster, local, reachable } = service;
  const names = serviceChains(port.name);
  // external frontends of one service port differ in their source ranges alone
  const [internal, external] = frontends;
  const guarded = frontends.find(isRestricted);
  const isReachedOutside = external !== undefined && isServed(external.inside);
  const usesLocal = frontends.some(({ outside }) => outside === local);
  const toInternal = internal === undefined ? [] : internalMasquerade(port, internal, node);
  const masquerade = (endpoints: readonly Endpoint[]) => (internal?.inside === endpoints ? toInternal : []);
  return [
    ...(isReachedOutside ? [chain('nat', names.ext, externalRules(service, external, node))] : []),
    ...(guarded?.sources === undefined ? [] : [chain('nat', names.fw, firewallRules(port, guarded.sources))]),
    ...(cluster.length > 0 ? [chain('nat', names.svc, [...masquerade(cluster), ...balance(port, cluster)])] : []),
    ...(usesLocal ? [chain('nat', names.svl, [...masquerade(local), ...balance(port, local)])] : []),
    ...reachable.map((endpoint) => endpointRules(port, endpoint)),
  ];
};

const internalMasquerade = (port: ServicePort, { masquerade }: Frontend, node: NodeContext): readonly string[] => {
  const toClusterIP = {
    destination: hostCidr(port.clusterIP),
    protocol: port.name.protocol,
    port: port.port,
    comment: `${formatServicePortName(port.name)} cluster IP`,
  };
  if (masquerade === 'always') return [rule(toClusterIP, MARK_MASQ)];
  if (masquerade === 'never' || node.localDetector === undefined) return [];
  return [rule({ ...toClusterIP, ...fromPod(node.localDetector, true) }, MARK_MASQ)];
};

const externalRules = (service: ServiceEndpoints, external: Frontend, node: NodeContext): readonly string[] => {
  const { port } = service;
  const { svc } = serviceChains(port.name);
  const name = formatServicePortName(port.name);
  const rules: string[] = [];
  if (external.masquerade === 'always') {
    rules.push(rule({ comment: `masquerade traffic for ${name} external destinations` }, MARK_MASQ));
  }
  if (external.isParted) {
    if (node.localDetector !== undefined) {
      rules.push(rule({ ...fromPod(node.localDetector, false), comment: `pod traffic for ${name} external` }, svc));
    }
    rules.push(rule({ comment: `masquerade LOCAL traffic for ${name} external`, matches: [FROM_LOCAL] }, MARK_MASQ));
    rules.push(rule({ comment: `route LOCAL traffic for ${name} external`, matches: [FROM_LOCAL] }, svc));
  }
  if (isServed(external.outside)) rules.push(rule({}, chainOf(service, external.outside)));
  // ACCEPT ends the nat table: on an address of the node this port may be another Service's NodePort, which must not match
  else rules.push(rule({ comment: `${name} has no local endpoints` }, 'ACCEPT'));
  return rules;
};

/** Rules of KUBE-FW. A packet that none of them matches is not translated, and the filter table drops it. */
const firewallRules = ({ name }: ServicePort, { ranges, own }: Sources): readonly string[] => {
  const { ext } = serviceChains(name);
  const comment = `${formatServicePortName(name)} loadbalancer IP`;
  return [
    ...[...ranges.map((cidr) => cidr.text), ...own.map(hostCidr)].map((source) => rule({ source, comment }, ext)),
    rule({ comment: `other traffic to ${formatServicePortName(name)} will be dropped` }, ''),
  ];
};

const balance = (port: ServicePort, endpoints: readonly Endpoint[]): readonly string[] => {
  const name = formatServicePortName(port.name);
  const targets = endpoints.map((endpoint) => ({
    sep: endpointChain(port.name, endpoint.ip, endpoint.port),
    comment: `${name} -> ${joinHostPort(endpoint.ip, endpoint.port)}`,
  }));
  const sticky = targets.map(({ sep, comment }) => {
    const seen = `-m recent --rcheck --seconds ${port.affinitySeconds} --reap ${recent(port, sep)}`;
    return rule({ comment, matches: [seen] }, sep);
  });
  const random = targets.map(({ sep, comment }, i) => {
    const left = targets.length - i;
    return rule({ comment, matches: left > 1 ? [oneIn(left)] : [] }, sep);
  });
  return [...(port.affinitySeconds > 0 ? sticky : []), ...random];
};

const recent = (port: ServicePort, list: string): string => {
  const mask = port.family === 'IPv4' ? '255.255.255.255' : 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
  return `--name ${list} --mask ${mask} --rsource`;
};

/** Rules of KUBE-SEP. Hairpin: a pod that reaches itself through the Service is masqueraded, or it would answer itself. */
const endpointRules = (port: ServicePort, endpoint: Endpoint): XtablesChain => {
  const sep = endpointChain(port.name, endpoint.ip, endpoint.port);
  const { protocol } = port.name;
  const remember = port.affinitySeconds > 0 ? [`-m recent --set ${recent(port, sep)}`] : [];
  const matches = [...remember, `-m ${protocol.toLowerCase()}`];
  return chain('nat', sep, [
    rule({ source: hostCidr(endpoint.ip) }, MARK_MASQ),
    rule({ protocol, matches }, `DNAT --to-destination ${joinHostPort(endpoint.ip, endpoint.port)}`),
  ]);
};
