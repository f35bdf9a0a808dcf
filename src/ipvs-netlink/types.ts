/** IPVS as plain data: virtual servers, real servers, time-outs (ipvsadm(8), linux/ip_vs.h). */

export type IpvsProtocol = 'TCP' | 'UDP' | 'SCTP';

/** Key of a virtual server: address, port and protocol, or a firewall mark. */
export type ServiceKey =
  | { readonly protocol: IpvsProtocol; readonly address: string; readonly port: number }
  | { readonly fwmark: number; readonly family: 'IPv4' | 'IPv6' };

export interface ServiceSettings {
  /** Scheduler: name of its module without `ip_vs_`: rr, wrr, lc, wlc, sh, mh, … */
  readonly scheduler: string;
  /** Persistence time-out in seconds; 0 = no persistence. */
  readonly persistenceSeconds: number;
  /** One-packet scheduling, for UDP: each packet is scheduled by itself. */
  readonly isOnePacket: boolean;
  /** Scheduler flag 1: sh-fallback, mh-fallback. */
  readonly hasFallback: boolean;
  /** Scheduler flag 2: sh-port, mh-port. */
  readonly hashesPort: boolean;
}

export interface IpvsService {
  readonly key: ServiceKey;
  readonly settings: ServiceSettings;
}

/** Virtual server with its counters since it was created. */
export interface CountedService extends IpvsService {
  readonly traffic: IpvsCounters;
}

/**
 * Forwarding method: masquerade = NAT, route = direct routing, tunnel = IP over IP. The kernel turns the node's own
 * address into `local`.
 */
export type Forwarding = 'masquerade' | 'local' | 'tunnel' | 'route' | 'bypass';

export interface DestinationKey {
  readonly address: string;
  readonly port: number;
}

export interface DestinationSettings {
  readonly forwarding: Forwarding;
  /** Weight; 0 = no new connections. */
  readonly weight: number;
  /** Upper connection threshold: no new connections above it; 0 = none. */
  readonly upperThreshold: number;
  /** Lower connection threshold: new connections again below it; 0 = three quarters of the upper one. */
  readonly lowerThreshold: number;
}

export interface IpvsCounters {
  readonly connections: bigint;
  readonly packetsIn: bigint;
  readonly packetsOut: bigint;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
}

/** Real server as the kernel lists it. */
export interface IpvsDestination {
  readonly key: DestinationKey;
  readonly settings: DestinationSettings;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly traffic: IpvsCounters;
}

/** Seconds after which idle connections expire; 0 in a change = unchanged. */
export interface Timeouts {
  readonly tcp: number;
  readonly tcpFin: number;
  readonly udp: number;
}
