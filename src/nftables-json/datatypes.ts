/**
 * Types of keys and data, and their values between text and bytes (nft's datatype.h).
 *
 * In a concatenation each field is padded to four bytes. Addresses, protocols and ports are in network byte order,
 * marks and plain numbers in host byte order, as in the kernel's registers.
 */
import { addressBytes, formatAddress } from '../netlink/address.ts';
import { readU32, writeU32 } from '../netlink/bytes.ts';
import type { Literal, TypeName } from './schema.ts';

interface DataType {
  /** Number of the type in nft. */
  readonly id: number;
  readonly bytes: number;
  readonly write: (target: Buffer, at: number, value: Literal) => void;
  readonly read: (bytes: Buffer, at: number) => Literal;
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
const PROTOCOL_NAMES = new Map(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]));

/** IANA protocol number of tcp, udp or sctp; numbers stand for themselves. Throws TypeError. */
export const protocolNumber = (value: Literal): number => {
  const number = typeof value === 'number' ? value : PROTOCOLS[value];
  if (number === undefined) throw new TypeError(`no protocol: ${value}`);
  return number;
};

export const protocolName = (number: number): Literal => PROTOCOL_NAMES.get(number) ?? number;

const numberOf = (value: Literal): number => {
  const number = Number(value);
  if (!Number.isInteger(number)) throw new TypeError(`no number: ${JSON.stringify(value)}`);
  return number;
};

const writeIPv4 = (target: Buffer, at: number, value: Literal): void => {
  const parts = String(value).split('.');
  for (const [i, part] of parts.entries()) {
    const byte = Number(part);
    if (parts.length !== 4 || !(byte >= 0 && byte <= 0xff) || String(byte) !== part) {
      throw new TypeError(`no IPv4 address: ${value}`);
    }
    target[at + i] = byte;
  }
};

const writeIPv6 = (target: Buffer, at: number, value: Literal): void => {
  const bytes = addressBytes(String(value));
  if (bytes.length !== 16) throw new TypeError(`no IPv6 address: ${value}`);
  target.set(bytes, at);
};

const address = (id: number, bytes: number): DataType => ({
  id,
  bytes,
  // ipaddr.js takes most of the time of a large load
  write: bytes === 4 ? writeIPv4 : writeIPv6,
  read: (source, at) =>
    bytes === 4
      ? `${source[at]}.${source[at + 1]}.${source[at + 2]}.${source[at + 3]}`
      : formatAddress(source.subarray(at, at + bytes)),
});

const hostNumber = (id: number): DataType => ({
  id,
  bytes: 4,
  write: (target, at, value) => writeU32(target, numberOf(value), at),
  read: readU32,
});

export const DATA_TYPES: Readonly<Record<TypeName, DataType>> = {
  integer: hostNumber(4),
  ipv4_addr: address(7, 4),
  ipv6_addr: address(8, 16),
  inet_proto: {
    id: 12,
    bytes: 1,
    write: (target, at, value) => target.writeUInt8(protocolNumber(value), at),
    read: (bytes, at) => protocolName(bytes.readUInt8(at)),
  },
  inet_service: {
    id: 13,
    bytes: 2,
    write: (target, at, value) => target.writeUInt16BE(numberOf(value), at),
    read: (bytes, at) => bytes.readUInt16BE(at),
  },
  mark: hostNumber(19),
};

const NAMES = new Map((Object.keys(DATA_TYPES) as TypeName[]).map((name) => [DATA_TYPES[name].id, name]));

const BITS_PER_TYPE = 6;
const TYPE_MASK = (1 << BITS_PER_TYPE) - 1;

export const isTypeName = (name: string): name is TypeName => Object.hasOwn(DATA_TYPES, name);

/** Type number of a concatenation: six bits a field, five fields at most. */
export const typeNumber = (names: readonly TypeName[]): number =>
  names.reduce((number, name) => ((number << BITS_PER_TYPE) | DATA_TYPES[name].id) >>> 0, 0);

/** Fields of a type number; undefined when one of them is unknown here. */
export const typesOfNumber = (number: number): readonly TypeName[] | undefined => {
  const names: TypeName[] = [];
  for (let left = number; left > 0; left >>>= BITS_PER_TYPE) {
    const name = NAMES.get(left & TYPE_MASK);
    if (name === undefined) return undefined;
    names.unshift(name);
  }
  return names.length === 0 ? undefined : names;
};

export const pad4 = (bytes: number): number => (bytes + 3) & ~3;

/** Length of a key or of data in bytes: a single field is not padded. */
export const lengthOf = (names: readonly TypeName[]): number => {
  const [only] = names;
  if (only !== undefined && names.length === 1) return DATA_TYPES[only].bytes;
  return names.reduce((sum, name) => sum + pad4(DATA_TYPES[name].bytes), 0);
};
