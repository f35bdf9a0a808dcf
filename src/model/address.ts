/**
 * IP addresses and CIDRs as text, in one canonical spelling: two spellings of one address must give one kernel object.
 *
 * Kubernetes objects may carry addresses that the API server accepted years ago (`010.0.0.1`, read as decimal).
 */
import { isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';

export type IPFamily = 'IPv4' | 'IPv6';

export const IP_FAMILIES: readonly IPFamily[] = ['IPv4', 'IPv6'];

/** A network: `text` is canonical (host bits cleared), `prefix` its length in bits. */
export interface Cidr {
  readonly text: string;
  readonly family: IPFamily;
  readonly prefix: number;
  readonly bytes: readonly number[];
}

/** IPv4 octets with leading zeros are decimal for Kubernetes (k/k#108074), octal for most libraries. */
const withoutLeadingZeros = (text: string): string => text.replace(/(^|\.)0+(?=\d)/g, '$1');

/** Rewrites a dotted end as two groups, as ipaddr.js reads `::10.0.0.1` as IPv4-mapped. */
const withoutDots = (text: string): string =>
  text.replace(/:([\d.]+)$/, (end, dotted: string) => {
    const [a, b, c, d] = parse(dotted)?.toByteArray() ?? [];
    if (a === undefined || b === undefined || c === undefined || d === undefined) return end;
    return `:${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });

const parse = (text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined => {
  if (!text.includes(':')) {
    const decimal = withoutLeadingZeros(text);
    return ipaddr.IPv4.isValidFourPartDecimal(decimal) ? ipaddr.IPv4.parse(decimal) : undefined;
  }
  if (text.includes('%')) return undefined;
  const groups = withoutDots(text);
  return ipaddr.IPv6.isValid(groups) ? ipaddr.IPv6.parse(groups) : undefined;
};

/** Canonical spelling of an address; undefined for other text. IPv4-mapped IPv6 addresses become IPv4, as in Go. */
export const parseIP = (text: string): string | undefined => {
  if (isIPv4(text)) return text; // canonical, as Node.js refuses leading zeros
  const bytes = parse(text)?.toByteArray();
  return bytes === undefined ? undefined : formatBytes(isMapped(bytes) ? bytes.slice(12) : bytes);
};

/** IPv4-mapped: inside ::ffff:0:0/96. */
const isMapped = (bytes: readonly number[]): boolean =>
  bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.slice(0, 10).every((byte) => byte === 0);

/** Family of a canonical address. */
export const familyOf = (ip: string): IPFamily => (ip.includes(':') ? 'IPv6' : 'IPv4');

/** Network in canonical spelling; undefined for other text, also for an address without a prefix length. */
export const parseCIDR = (text: string): Cidr | undefined => {
  const [address, length, ...rest] = text.trim().split('/');
  if (address === undefined || length === undefined || rest.length > 0 || !/^\d+$/.test(length)) return undefined;
  const prefix = Number(length);
  const given = parse(address)?.toByteArray();
  if (given === undefined || prefix > given.length * 8) return undefined;
  const isIPv4Network = given.length === 4 || (isMapped(given) && prefix >= 96);
  return network(isIPv4Network ? given.slice(-4) : given, isIPv4Network && given.length === 16 ? prefix - 96 : prefix);
};

const network = (address: readonly number[], prefix: number): Cidr => {
  const bytes = maskBytes(address, prefix);
  return { text: `${formatBytes(bytes)}/${prefix}`, family: bytes.length === 4 ? 'IPv4' : 'IPv6', prefix, bytes };
};

/** Bytes of a canonical address, 4 or 16, most significant first. */
export const ipBytes = (ip: string): readonly number[] => ipaddr.parse(ip).toByteArray();

/** Canonical spelling of 4 or 16 address bytes. */
export const formatBytes = (bytes: readonly number[]): string => {
  const parsed = ipaddr.fromByteArray([...bytes]);
  return parsed.kind() === 'ipv4' ? parsed.toString() : (parsed as ipaddr.IPv6).toRFC5952String();
};

/** Clears all but the first `prefix` bits. */
export const maskBytes = (bytes: readonly number[], prefix: number): readonly number[] =>
  bytes.map((byte, i) => byte & (0xff << Math.max(0, 8 - Math.max(0, prefix - i * 8))) & 0xff);

/** True for a canonical address inside a network; false for one of the other family. */
export const cidrContains = (cidr: Cidr, ip: string): boolean => {
  const bytes = ipBytes(ip);
  return bytes.length === cidr.bytes.length && maskBytes(bytes, cidr.prefix).every((byte, i) => byte === cidr.bytes[i]);
};

/** Loopback: 127.0.0.0/8 and ::1. */
export const isLoopback = (ip: string): boolean => ip === '::1' || ip.startsWith('127.');

/** Link-local IPv6 (fe80::/10): an address that every link has, and that is of no use beyond it. */
export const isLinkLocal = (ip: string): boolean => /^fe[89ab]/.test(ip);

/** `ip:port`, with brackets around an IPv6 address. */
export const joinHostPort = (ip: string, port: number): string =>
  ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
