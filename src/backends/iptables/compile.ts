/**
 * One service port to its chains and dispatch lines, as kube-proxy shapes them. Pure.
 *
 * KUBE-SVC balances over the cluster's endpoints, KUBE-SVL over the local ones, KUBE-EXT is where external traffic comes
 * in, KUBE-FW stands before it where source ranges apply, KUBE-SEP leads to one endpoint.
 */
import type { Fragment } from '../../dataplane/contract.ts';
import { cidrContains, joinHostPort } from '../../model/address.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { NodeContext } from '../../model/node.ts';
import { formatServicePortName, isExternallyAccessible, ownerOf, type ServicePort } from '../../model/service.ts';
import { hasExternalEndpoints, hasInternalEndpoints, type ServiceEndpoints } from '../../model/topology.ts';
import { MARK_MASQ } from '../xtables/names.ts';
import { type Chain, chain } from '../xtables/objects.ts';
import { FROM_LOCAL, fromPod, hostCidr, oneIn, rule } from '../xtables/rule.ts';
import { frontends } from './frontends.ts';
import { endpointChain, serviceChains } from './names.ts';
import type { Wish } from './objects.ts';
import { isRestricted } from './verdict.ts';

export const compile = (service: ServiceEndpoints, node: NodeContext): Fragment<Wish> => ({
  owner: ownerOf(service.port.name),
  since: service.port.createdAt,
  objects: [...frontends(service), ...chains(service, node)],
});

const chains = (service: ServiceEndpoints, node: NodeContext): readonly Chain[] => {
  const { port, cluster, local, reachable, hasAny } = service;
  const names = serviceChains(port.name);
  const external = hasAny && isExternallyAccessible(port);
  const usesLocal = port.internalPolicyLocal || (port.externalPolicyLocal && external);
  const toInternal = hasInternalEndpoints(service) ? internalMasquerade(port, node) : [];
  return [
    ...(external ? [chain('nat', names.ext, externalRules(service, node))] : []),
    ...(isRestricted(service) ? [chain('nat', names.fw, firewallRules(port, node))] : []),
    ...(cluster.length > 0
      ? [chain('nat', names.svc, [...(port.internalPolicyLocal ? [] : toInternal), ...balance(port, cluster)])]
      : []),
    ...(usesLocal && local.length > 0
      ? [chain('nat', names.svl, [...(port.internalPolicyLocal ? toInternal : []), ...balance(port, local)])]
      : []),
    ...reachable.map((endpoint) => endpointRules(port, endpoint)),
  ];
};

/** Traffic to the ClusterIP from outside the cluster must come back through this node. */
const internalMasquerade = (port: ServicePort, node: NodeContext): readonly string[] => {
  const toClusterIP = {
    destination: hostCidr(port.clusterIP),
    protocol: port.name.protocol,
    port: port.port,
    comment: `${formatServicePortName(port.name)} cluster IP`,
  };
  if (node.masqueradeAll) return [rule(toClusterIP, MARK_MASQ)];
  if (node.localDetector === undefined) return [];
  return [rule({ ...toClusterIP, ...fromPod(node.localDetector, true) }, MARK_MASQ)];
};

const externalRules = (service: ServiceEndpoints, node: NodeContext): readonly string[] => {
  const { port } = service;
  const { svc, svl } = serviceChains(port.name);
  const name = formatServicePortName(port.name);
  const rules: string[] = [];
  if (!port.externalPolicyLocal) {
    rules.push(rule({ comment: `masquerade traffic for ${name} external destinations` }, MARK_MASQ));
  } else if (service.cluster.length > 0) {
    // pods and the node itself are inside the cluster already: for them the policy means the cluster's endpoints
    if (node.localDetector !== undefined) {
      rules.push(rule({ ...fromPod(node.localDetector, false), comment: `pod traffic for ${name} external` }, svc));
    }
    rules.push(rule({ comment: `masquerade LOCAL traffic for ${name} external`, matches: [FROM_LOCAL] }, MARK_MASQ));
    rules.push(rule({ comment: `route LOCAL traffic for ${name} external`, matches: [FROM_LOCAL] }, svc));
  }
  if (hasExternalEndpoints(service)) rules.push(rule({}, port.externalPolicyLocal ? svl : svc));
  // where the address is the node's own, its port may be another Service's NodePort: this one drops, and does not pass it on
  else rules.push(rule({ comment: `${name} has no local endpoints` }, 'ACCEPT'));
  return rules;
};

/** A packet that no rule takes returns with its address unchanged and is dropped in the filter table. */
const firewallRules = (port: ServicePort, node: NodeContext): readonly string[] => {
  const { ext } = serviceChains(port.name);
  const comment = `${formatServicePortName(port.name)} loadbalancer IP`;
  const ranges = port.sourceRanges ?? [];
  const { nodeIP } = node;
  // a packet of the node itself to a VIP that it holds has the VIP as its source
  const allowsNode = nodeIP !== undefined && ranges.some((cidr) => cidrContains(cidr, nodeIP));
  const sources = [...ranges.map((cidr) => cidr.text), ...(allowsNode ? port.loadBalancerVIPs.map(hostCidr) : [])];
  return [
    ...sources.map((source) => rule({ source, comment }, ext)),
    rule({ comment: `other traffic to ${formatServicePortName(port.name)} will be dropped` }, ''),
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

/** A pod that reaches itself through the Service must see another source than itself: hairpin. */
const endpointRules = (port: ServicePort, endpoint: Endpoint): Chain => {
  const sep = endpointChain(port.name, endpoint.ip, endpoint.port);
  const { protocol } = port.name;
  const remember = port.affinitySeconds > 0 ? [`-m recent --set ${recent(port, sep)}`] : [];
  const matches = [...remember, `-m ${protocol.toLowerCase()}`];
  return chain('nat', sep, [
    rule({ source: hostCidr(endpoint.ip) }, MARK_MASQ),
    rule({ protocol, matches }, `DNAT --to-destination ${joinHostPort(endpoint.ip, endpoint.port)}`),
  ]);
};
