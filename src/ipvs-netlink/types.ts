/** IPVS in plain data: virtual servers, real servers, timeouts (ipvsadm(8), linux/ip_vs.h). */

export type IpvsProtocol = 'TCP' | 'UDP' | 'SCTP';

/** What a virtual server is found by: address, port and protocol; or a mark on the packet. */
export type ServiceKey =
  | { readonly protocol: IpvsProtocol; readonly address: string; readonly port: number }
  | { readonly fwmark: number; readonly family: 'IPv4' | 'IPv6' };

export interface ServiceSettings {
  /** Name of a scheduler module without `ip_vs_`: rr, wrr, lc, wlc, sh, mh, … */
  readonly scheduler: string;
  /** Clients stay with their real server for so many seconds; 0 = not. */
  readonly persistenceSeconds: number;
  /** UDP: each packet is scheduled by itself. */
  readonly isOnePacket: boolean;
  /** First flag of the scheduler: sh-fallback, mh-fallback. */
  readonly hasFallback: boolean;
  /** Second flag of the scheduler: sh-port, mh-port. */
  readonly hashesPort: boolean;
}

export interface IpvsService {
  readonly key: ServiceKey;
  readonly settings: ServiceSettings;
}

/** A virtual server with what went through it since it was made. */
export interface CountedService extends IpvsService {
  readonly traffic: IpvsCounters;
}

/** masquerade = NAT, route = direct routing, tunnel = IP over IP. `local` is what the kernel makes of an own address. */
export type Forwarding = 'masquerade' | 'local' | 'tunnel' | 'route' | 'bypass';

export interface DestinationKey {
  readonly address: string;
  readonly port: number;
}

export interface DestinationSettings {
  readonly forwarding: Forwarding;
  /** 0 = gets no new connections. */
  readonly weight: number;
  /** No new connections above so many; 0 = no bound. */
  readonly upperThreshold: number;
  /** New connections again below so many; 0 = three quarters of the upper one. */
  readonly lowerThreshold: number;
}

export interface IpvsCounters {
  readonly connections: bigint;
  readonly packetsIn: bigint;
  readonly packetsOut: bigint;
  readonly bytesIn: bigint;
  readonly bytesOut: bigint;
}

/** A real server of a virtual server, as the kernel lists it. */
export interface IpvsDestination {
  readonly key: DestinationKey;
  readonly settings: DestinationSettings;
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly traffic: IpvsCounters;
}

/** Seconds after which silent connections are forgotten. In a change 0 = as it is. */
export interface Timeouts {
  readonly tcp: number;
  readonly tcpFin: number;
  readonly udp: number;
}
