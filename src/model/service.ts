/**
 * Service objects, and their service ports by IP family.
 *
 * Which Services are ignored, how lists split by family, and when a policy is Local: as in kube-proxy 1.36.
 */

import { type Cidr, familyOf, IP_FAMILIES, type IPFamily, parseCIDR, parseIP } from './address.ts';
import { excerpt } from './excerpt.ts';
import {
  Malformed,
  type ObjectMeta,
  objectKey,
  type Protocol,
  readArray,
  readMeta,
  readName,
  readOptionalPort,
  readPort,
  readProtocol,
  textAt,
} from './kubernetes.ts';

export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  /** Name of the port; empty when the Service has one port without a name. */
  readonly port: string;
  readonly protocol: Protocol;
}

/** One port of one Service in one IP family. Ports are 1-65535, 0 = none; times are milliseconds since 1970. */
export interface ServicePort {
  readonly name: ServicePortName;
  readonly family: IPFamily;
  readonly clusterIP: string;
  readonly port: number;
  readonly nodePort: number;
  readonly externalIPs: readonly string[];
  /** Ingress addresses that the node serves itself: ipMode VIP or unset (KEP-1860). */
  readonly loadBalancerVIPs: readonly string[];
  /** Clients that the VIPs admit; undefined: all, empty: none in this family. */
  readonly sourceRanges: readonly Cidr[] | undefined;
  /** Time-out of ClientIP session affinity in seconds; 0 = no affinity. */
  readonly affinitySeconds: number;
  readonly internalPolicyLocal: boolean;
  readonly externalPolicyLocal: boolean;
  readonly healthCheckNodePort: number;
  /** Annotation `pointsman.dev/ipvs-scheduler`. */
  readonly scheduler: string | undefined;
  readonly createdAt: number;
}

/** Service as far as a proxy needs it: its ports by family; both lists are empty for one that is not proxied. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** Reason why the Service is not proxied; undefined when it is. */
  readonly notProxied: string | undefined;
  readonly ports: Readonly<Record<IPFamily, readonly ServicePort[]>>;
}

export const HEADLESS = 'it is headless (clusterIP: None): clients find its endpoints by DNS and call them directly';

const DEFAULT_AFFINITY_SECONDS = 10_800;
const SCHEDULER_ANNOTATION = 'pointsman.dev/ipvs-scheduler';

/** Prints `ns/name` or `ns/name:port`, as kube-proxy does, without the protocol. */
export const formatServicePortName = (name: ServicePortName): string =>
  name.port === '' ? `${name.namespace}/${name.name}` : `${name.namespace}/${name.name}:${name.port}`;

/** Owner of a service port's kernel objects: `ns/name:port/TCP`. */
export const ownerOf = (name: ServicePortName): string => `${formatServicePortName(name)}/${name.protocol}`;

/** True for an owner that is a port of this Service, `ns/name`. */
export const isPortOf = (owner: string, service: string): boolean =>
  owner.startsWith(service) && /^(:.*)?\/(TCP|UDP|SCTP)$/.test(owner.slice(service.length));

/** True for a service port with a NodePort, a load-balancer IP or an external IP. */
export const isExternallyAccessible = (port: ServicePort): boolean =>
  port.nodePort !== 0 || port.loadBalancerVIPs.length > 0 || port.externalIPs.length > 0;

/** Reads a Service object. Throws Malformed naming the field. */
export const readService = (raw: unknown): Service => {
  const meta = readMeta(raw, 'Service');
  const spec = (raw as { readonly spec?: Record<string, unknown> }).spec ?? {};
  const clusterIPs = readClusterIPs(spec);
  const ports: Record<IPFamily, ServicePort[]> = { IPv4: [], IPv6: [] };
  const notProxied = whyNotProxied(spec);
  if (notProxied === undefined) {
    for (const family of IP_FAMILIES) {
      const clusterIP = clusterIPs.find((ip) => familyOf(ip) === family);
      if (clusterIP !== undefined) ports[family] = readPorts(raw, spec, meta, family, clusterIP);
    }
  }
  return { namespace: meta.namespace, name: meta.name, notProxied, ports };
};

/** Reason why a Service is not proxied: headless Services and ExternalNames are not (kube-proxy's ShouldSkipService). */
const whyNotProxied = ({ type, clusterIP }: Record<string, unknown>): string | undefined => {
  if (type === 'ExternalName') return 'it is an ExternalName: an alias in DNS, without an address';
  if (clusterIP === 'None') return HEADLESS;
  return (clusterIP ?? '') === '' ? 'it has no ClusterIP yet' : undefined;
};

const readClusterIPs = (spec: Record<string, unknown>): readonly string[] => {
  const listed = readArray(spec.clusterIPs, 'spec.clusterIPs');
  const texts = listed.length > 0 ? listed : [spec.clusterIP];
  return texts
    .filter((text) => text !== undefined && text !== null && text !== '' && text !== 'None')
    .map((text) => {
      const ip = typeof text === 'string' ? parseIP(text) : undefined;
      if (ip === undefined) throw new Malformed(`spec.clusterIPs: ${excerpt(text)} is not an IP address`);
      return ip;
    });
};

const readPorts = (
  raw: unknown,
  spec: Record<string, unknown>,
  meta: ObjectMeta,
  family: IPFamily,
  clusterIP: string,
): ServicePort[] => {
  const shared = readShared(raw, spec, meta, family, clusterIP);
  const seen = new Set<string>();
  return readArray(spec.ports, 'spec.ports').map((entry, i) => {
    const port = (entry ?? {}) as Record<string, unknown>;
    const at = `spec.ports[${i}]`;
    const protocol = readProtocol(port.protocol, `${at}.protocol`);
    const name = { namespace: meta.namespace, name: meta.name, port: readName(port.name, `${at}.name`), protocol };
    if (seen.has(ownerOf(name))) throw new Malformed(`${at}: a second port ${ownerOf(name)} in ${objectKey(meta)}`);
    seen.add(ownerOf(name));
    return {
      ...shared,
      name,
      port: readPort(port.port, `${at}.port`),
      nodePort: readOptionalPort(port.nodePort, `${at}.nodePort`),
    };
  });
};

const readShared = (
  raw: unknown,
  spec: Record<string, unknown>,
  meta: ObjectMeta,
  family: IPFamily,
  clusterIP: string,
): Omit<ServicePort, 'name' | 'port' | 'nodePort'> => {
  const externalIPs = readIPs(readArray(spec.externalIPs, 'spec.externalIPs'), family);
  const externalPolicyLocal =
    spec.externalTrafficPolicy === 'Local' &&
    (spec.type === 'LoadBalancer' ||
      spec.type === 'NodePort' ||
      readArray(spec.externalIPs, 'spec.externalIPs').length > 0);
  const isLocalBalancer = spec.type === 'LoadBalancer' && externalPolicyLocal;
  return {
    family,
    clusterIP,
    externalIPs,
    loadBalancerVIPs: readVIPs(raw, family),
    sourceRanges: readSourceRanges(spec, family),
    affinitySeconds: spec.sessionAffinity === 'ClientIP' ? readAffinitySeconds(spec) : 0,
    internalPolicyLocal: spec.internalTrafficPolicy === 'Local',
    externalPolicyLocal,
    healthCheckNodePort: isLocalBalancer ? readOptionalPort(spec.healthCheckNodePort, 'spec.healthCheckNodePort') : 0,
    scheduler: textAt(meta.annotations, SCHEDULER_ANNOTATION) || undefined,
    createdAt: meta.createdAt,
  };
};

const readIPs = (texts: readonly unknown[], family: IPFamily): readonly string[] => [
  ...new Set(
    texts
      .map((text) => (typeof text === 'string' ? parseIP(text) : undefined))
      .filter((ip): ip is string => ip !== undefined && familyOf(ip) === family),
  ),
];

const readVIPs = (raw: unknown, family: IPFamily): readonly string[] => {
  const status = (raw as { status?: { loadBalancer?: { ingress?: unknown } } }).status;
  const ingress = readArray(status?.loadBalancer?.ingress, 'status.loadBalancer.ingress');
  const served = ingress
    .map((entry) => (entry ?? {}) as { readonly ip?: unknown; readonly ipMode?: unknown })
    .filter(({ ipMode }) => ipMode === undefined || ipMode === null || ipMode === 'VIP');
  return readIPs(
    served.map(({ ip }) => ip),
    family,
  );
};

/**
 * Source ranges of one family; undefined without a list. A list without a range of this family, or without a readable one,
 * admits no client. kube-proxy takes an empty list of one family for "no restriction", so a dual-stack Service restricted
 * in IPv4 only is open to all clients in IPv6.
 */
const readSourceRanges = (spec: Record<string, unknown>, family: IPFamily): readonly Cidr[] | undefined => {
  const texts = readArray(spec.loadBalancerSourceRanges, 'spec.loadBalancerSourceRanges');
  const ranges = texts
    .map((text) => (typeof text === 'string' ? parseCIDR(text) : undefined))
    .filter((cidr): cidr is Cidr => cidr !== undefined);
  if (texts.length === 0) return undefined;
  const own = ranges.filter((cidr) => cidr.family === family);
  return own.some((cidr) => cidr.prefix === 0) ? undefined : own;
};

const readAffinitySeconds = (spec: Record<string, unknown>): number => {
  const config = spec.sessionAffinityConfig as { clientIP?: { timeoutSeconds?: unknown } | null } | null | undefined;
  const seconds = config?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS;
  if (Number.isSafeInteger(seconds) && Number(seconds) > 0) return Number(seconds);
  const path = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  // the API's bound is a day; longer time-outs are left to the kernel
  throw new Malformed(`${path} must be a positive whole number of seconds, not ${excerpt(seconds)}`);
};
