/** Attributes of generic netlink family IPVS, to and from plain data (linux/ip_vs.h). */
import { addressBytes, FAMILY, familyOfAddress, formatAddress } from '../netlink/address.ts';
import {
  type Attribute,
  type Attributes,
  be16,
  bytes,
  decodeNest,
  getBe16,
  getText,
  getU16,
  getU32,
  getU64,
  nest,
  text,
  u16,
  u32,
} from '../netlink/attributes.ts';
import { readU32, writeU32 } from '../netlink/bytes.ts';
import type {
  CountedService,
  DestinationKey,
  DestinationSettings,
  Forwarding,
  IpvsCounters,
  IpvsDestination,
  IpvsProtocol,
  IpvsService,
  ServiceKey,
  ServiceSettings,
  Timeouts,
} from './types.ts';

export const COMMAND_ATTRIBUTE = {
  SERVICE: 1,
  DESTINATION: 2,
  TIMEOUT_TCP: 4,
  TIMEOUT_TCP_FIN: 5,
  TIMEOUT_UDP: 6,
} as const;

const SERVICE = {
  AF: 1,
  PROTOCOL: 2,
  ADDRESS: 3,
  PORT: 4,
  FWMARK: 5,
  SCHEDULER: 6,
  FLAGS: 7,
  TIMEOUT: 8,
  NETMASK: 9,
  STATS: 10,
  STATS64: 12,
} as const;

const DESTINATION = {
  ADDRESS: 1,
  PORT: 2,
  FORWARDING: 3,
  WEIGHT: 4,
  UPPER: 5,
  LOWER: 6,
  ACTIVE: 7,
  INACTIVE: 8,
  PERSISTENT: 9,
  STATS: 10,
  AF: 11,
  STATS64: 12,
} as const;

const FLAG = { PERSISTENT: 1, ONE_PACKET: 4, FALLBACK: 8, HASH_PORT: 16 } as const;
const ALL_FLAGS = 0xffffffff;
const ADDRESS_BYTES = 16;
const NETMASK = { IPv4: 0xffffffff, IPv6: 128 } as const;
const PROTOCOLS: Readonly<Record<IpvsProtocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };
const PROTOCOL_NAMES = new Map(Object.entries(PROTOCOLS).map(([name, n]) => [n, name as IpvsProtocol]));
const FORWARDINGS: readonly Forwarding[] = ['masquerade', 'local', 'tunnel', 'route', 'bypass'];
const FORWARDING_MASK = 7;
/** Counters of stats: 64 bits from kernel 4.1 on, 32 bits before. */
const STATS = { CONNECTIONS: 1, PACKETS_IN: 2, PACKETS_OUT: 3, BYTES_IN: 4, BYTES_OUT: 5 } as const;

/** Address of 16 bytes, of which IPv4 uses the first four. */
const addressAttribute = (type: number, address: string): Attribute => {
  const value = Buffer.alloc(ADDRESS_BYTES);
  value.set(addressBytes(address));
  return bytes(type, value);
};

const readAddress = (attributes: Attributes, type: number, af: number): string => {
  const value = attributes.get(type) ?? Buffer.alloc(ADDRESS_BYTES);
  return formatAddress(value.subarray(0, af === FAMILY.IPv6 ? ADDRESS_BYTES : 4));
};

export const familyOfKey = (key: ServiceKey): 'IPv4' | 'IPv6' =>
  'fwmark' in key ? key.family : familyOfAddress(key.address);

const keyAttributes = (key: ServiceKey): readonly Attribute[] =>
  'fwmark' in key
    ? [u16(SERVICE.AF, FAMILY[key.family]), u32(SERVICE.FWMARK, key.fwmark)]
    : [
        u16(SERVICE.AF, FAMILY[familyOfAddress(key.address)]),
        u16(SERVICE.PROTOCOL, PROTOCOLS[key.protocol]),
        addressAttribute(SERVICE.ADDRESS, key.address),
        be16(SERVICE.PORT, key.port),
      ];

const flagsOf = (settings: ServiceSettings): number =>
  (settings.persistenceSeconds > 0 ? FLAG.PERSISTENT : 0) |
  (settings.isOnePacket ? FLAG.ONE_PACKET : 0) |
  (settings.hasFallback ? FLAG.FALLBACK : 0) |
  (settings.hashesPort ? FLAG.HASH_PORT : 0);

const flagsAttribute = (settings: ServiceSettings): Attribute => {
  const value = Buffer.alloc(8);
  writeU32(value, flagsOf(settings), 0);
  writeU32(value, ALL_FLAGS, 4);
  return bytes(SERVICE.FLAGS, value);
};

export const serviceAttribute = (key: ServiceKey, settings?: ServiceSettings): Attribute =>
  nest(COMMAND_ATTRIBUTE.SERVICE, [
    ...keyAttributes(key),
    ...(settings === undefined
      ? []
      : [
          text(SERVICE.SCHEDULER, settings.scheduler),
          flagsAttribute(settings),
          u32(SERVICE.TIMEOUT, settings.persistenceSeconds),
          u32(SERVICE.NETMASK, NETMASK[familyOfKey(key)]),
        ]),
  ]);

export const readService = (message: Attributes): IpvsService => {
  const attributes = decodeNest(message, COMMAND_ATTRIBUTE.SERVICE);
  const flagBytes = attributes.get(SERVICE.FLAGS);
  const flags = flagBytes === undefined ? 0 : readU32(flagBytes, 0);
  return {
    key: readKey(attributes),
    settings: {
      scheduler: getText(attributes, SERVICE.SCHEDULER),
      persistenceSeconds: (flags & FLAG.PERSISTENT) === 0 ? 0 : getU32(attributes, SERVICE.TIMEOUT),
      isOnePacket: (flags & FLAG.ONE_PACKET) !== 0,
      hasFallback: (flags & FLAG.FALLBACK) !== 0,
      hashesPort: (flags & FLAG.HASH_PORT) !== 0,
    },
  };
};

/** Reads a virtual server with its counters. */
export const readCountedService = (message: Attributes): CountedService => {
  const attributes = decodeNest(message, COMMAND_ATTRIBUTE.SERVICE);
  return { ...readService(message), traffic: readCounters(attributes, SERVICE) };
};

const readKey = (attributes: Attributes): ServiceKey => {
  const af = getU16(attributes, SERVICE.AF);
  const fwmark = getU32(attributes, SERVICE.FWMARK);
  if (fwmark !== 0) return { fwmark, family: af === FAMILY.IPv6 ? 'IPv6' : 'IPv4' };
  return {
    protocol: PROTOCOL_NAMES.get(getU16(attributes, SERVICE.PROTOCOL)) ?? 'TCP',
    address: readAddress(attributes, SERVICE.ADDRESS, af),
    port: getBe16(attributes, SERVICE.PORT),
  };
};

export const destinationAttribute = (key: DestinationKey, settings?: DestinationSettings): Attribute =>
  nest(COMMAND_ATTRIBUTE.DESTINATION, [
    addressAttribute(DESTINATION.ADDRESS, key.address),
    be16(DESTINATION.PORT, key.port),
    u16(DESTINATION.AF, FAMILY[familyOfAddress(key.address)]),
    ...(settings === undefined
      ? []
      : [
          u32(DESTINATION.FORWARDING, FORWARDINGS.indexOf(settings.forwarding)),
          u32(DESTINATION.WEIGHT, settings.weight),
          u32(DESTINATION.UPPER, settings.upperThreshold),
          u32(DESTINATION.LOWER, settings.lowerThreshold),
        ]),
  ]);

/** Reads a real server. `serviceFamily` is its family on kernels before 3.18, which do not report it. */
export const readDestination = (message: Attributes, serviceFamily: 'IPv4' | 'IPv6'): IpvsDestination => {
  const attributes = decodeNest(message, COMMAND_ATTRIBUTE.DESTINATION);
  const af = getU16(attributes, DESTINATION.AF) || FAMILY[serviceFamily];
  return {
    key: { address: readAddress(attributes, DESTINATION.ADDRESS, af), port: getBe16(attributes, DESTINATION.PORT) },
    settings: {
      forwarding: FORWARDINGS[getU32(attributes, DESTINATION.FORWARDING) & FORWARDING_MASK] ?? 'masquerade',
      weight: getU32(attributes, DESTINATION.WEIGHT),
      upperThreshold: getU32(attributes, DESTINATION.UPPER),
      lowerThreshold: getU32(attributes, DESTINATION.LOWER),
    },
    activeConnections: getU32(attributes, DESTINATION.ACTIVE),
    inactiveConnections: getU32(attributes, DESTINATION.INACTIVE),
    persistentConnections: getU32(attributes, DESTINATION.PERSISTENT),
    traffic: readCounters(attributes, DESTINATION),
  };
};

const readCounters = (
  attributes: Attributes,
  { STATS: narrow, STATS64: wide }: { readonly STATS: number; readonly STATS64: number },
): IpvsCounters => {
  const stats = decodeNest(attributes, attributes.has(wide) ? wide : narrow);
  const count = (type: number): bigint =>
    (stats.get(type)?.length ?? 0) >= 8 ? getU64(stats, type) : BigInt(getU32(stats, type));
  return {
    connections: count(STATS.CONNECTIONS),
    packetsIn: count(STATS.PACKETS_IN),
    packetsOut: count(STATS.PACKETS_OUT),
    bytesIn: count(STATS.BYTES_IN),
    bytesOut: count(STATS.BYTES_OUT),
  };
};

export const timeoutAttributes = ({ tcp, tcpFin, udp }: Timeouts): readonly Attribute[] => [
  u32(COMMAND_ATTRIBUTE.TIMEOUT_TCP, tcp),
  u32(COMMAND_ATTRIBUTE.TIMEOUT_TCP_FIN, tcpFin),
  u32(COMMAND_ATTRIBUTE.TIMEOUT_UDP, udp),
];

export const readTimeouts = (message: Attributes): Timeouts => ({
  tcp: getU32(message, COMMAND_ATTRIBUTE.TIMEOUT_TCP),
  tcpFin: getU32(message, COMMAND_ATTRIBUTE.TIMEOUT_TCP_FIN),
  udp: getU32(message, COMMAND_ATTRIBUTE.TIMEOUT_UDP),
});
