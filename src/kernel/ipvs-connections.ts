/**
 * Connections that IPVS knows, as /proc/net/ip_vs_conn lists them (net/netfilter/ipvs/ip_vs_conn.c). Netlink tells only how
 * many each real server has, and counts among them those that have ended and are remembered for two minutes more.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

export interface IpvsConnection {
  readonly protocol: string;
  /** Where the client wanted to go; IPv6 written out in full. */
  readonly address: string;
  readonly port: number;
  readonly state: string;
  /** Seconds until it is forgotten, if no packet comes. */
  readonly expires: number;
}

const FILE = '/proc/net/ip_vs_conn';
const V4 = /^[0-9A-F]{8}$/;

/** Undefined for the headline and for what remembers clients (session affinity): that is no connection. */
export const parseConnection = (line: string): IpvsConnection | undefined => {
  const [protocol, , clientPort, address, port, , , state, expires] = line.trim().split(/\s+/);
  if (protocol === undefined || address === undefined || port === undefined || expires === undefined) return undefined;
  if (protocol === 'Pro' || clientPort === '0000') return undefined;
  return {
    protocol,
    address: V4.test(address) ? dotted(address) : address,
    port: Number.parseInt(port, 16),
    state: state ?? '',
    expires: Number(expires),
  };
};

const dotted = (hex: string): string => [...Buffer.from(hex, 'hex')].join('.');

/** In the network namespace of this process, one after the other. Throws what the kernel said. */
export async function* ipvsConnections(): AsyncGenerator<IpvsConnection> {
  const lines = createInterface({ input: createReadStream(FILE), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    const connection = parseConnection(line);
    if (connection !== undefined) yield connection;
  }
}
