/**
 * IPVS connections of /proc/net/ip_vs_conn (net/netfilter/ipvs/ip_vs_conn.c). Netlink gives only a count for each real
 * server, which includes connections in TIME_WAIT (two minutes).
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

export interface IpvsConnection {
  readonly protocol: string;
  /** Virtual address; IPv6 is not abbreviated. */
  readonly address: string;
  readonly port: number;
  readonly state: string;
  /** Seconds until the connection expires without a packet. */
  readonly expires: number;
}

const FILE = '/proc/net/ip_vs_conn';
const V4 = /^[0-9A-F]{8}$/;

/** Undefined for the header line and for persistence templates (session affinity), which are no connections. */
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

/** Reads the connections of this process's network namespace one by one. Throws the error of the read. */
export async function* ipvsConnections(): AsyncGenerator<IpvsConnection> {
  const lines = createInterface({ input: createReadStream(FILE), crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    const connection = parseConnection(line);
    if (connection !== undefined) yield connection;
  }
}
