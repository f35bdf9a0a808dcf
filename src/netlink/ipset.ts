/** IP sets: ipset(8), linux/netfilter/ipset/ip_set.h. */
import { type AddressFamily, addressBytes, FAMILY, familyOfAddress, formatAddress } from './address.ts';
import {
  type Attribute,
  type Attributes,
  decode,
  decodeList,
  decodeNest,
  encode,
  getBe16,
  getText,
  getU8,
  nest,
  net16,
  net32,
  netBytes,
  sizeOf,
  text,
  u8,
} from './attributes.ts';
import type { NetlinkConnection } from './connection.ts';
import { ERRNO, NetlinkError } from './error.ts';
import { FLAG, type Message, type Request } from './message.ts';

export type SetType = 'hash:ip' | 'hash:ip,port' | 'hash:ip,port,ip' | 'hash:ip,port,net' | 'bitmap:port';

export interface SetDefinition {
  readonly name: string;
  readonly type: SetType;
  readonly family: AddressFamily;
  /** Maximum number of entries, for hash types. */
  readonly maxEntries: number;
  /** Whether entries may carry a packet mark (skbinfo). */
  readonly hasMarks?: boolean;
}

/** Entry of a set; fields that the set's type lacks are absent. */
export interface SetEntry {
  readonly address?: string;
  readonly protocol?: SetProtocol;
  readonly port?: number;
  /** Second address, for hash:ip,port,ip and hash:ip,port,net. */
  readonly second?: string;
  /** Prefix length of `second`, for hash:ip,port,net. */
  readonly prefix?: number;
  /** Mark and mask for the SET target. */
  readonly mark?: { readonly value: number; readonly mask: number };
}

export type SetProtocol = 'tcp' | 'udp' | 'sctp';

export interface ListedSet {
  readonly definition: SetDefinition;
  /** Number of rules and sets that reference this set. */
  readonly references: number;
  readonly entries: readonly SetEntry[];
}

/** Error numbers of ipset itself. */
export const IPSET_ERROR = { BUSY: 4100, TYPE_MISMATCH: 4102, EXIST: 4103, FULL: 4352 } as const;

const SUBSYSTEM = 6 << 8;
const COMMAND = { CREATE: 2, DESTROY: 3, FLUSH: 4, SWAP: 6, LIST: 7, ADD: 9, DEL: 10, TYPE: 13 } as const;
const PROTOCOL_VERSION = 7;
/** Attributes of a message. */
const ATTR = {
  PROTOCOL: 1,
  SETNAME: 2,
  TYPENAME: 3,
  REVISION: 4,
  FAMILY: 5,
  DATA: 7,
  ADT: 8,
  REVISION_MIN: 10,
} as const;
/** Attributes of entries and of definitions. */
const DATA = { IP: 1, PORT: 4, PORT_TO: 5, PROTO: 7, CADT_FLAGS: 8 } as const;
const DEFINITION = { HASHSIZE: 18, MAXELEM: 19, REFERENCES: 25 } as const;
const ENTRY = { IP2: 20, CIDR2: 21, SKBMARK: 27 } as const;
/** Attributes of an address. */
const IPV4 = 1;
const IPV6 = 2;
const FLAG_WITH_SKBINFO = 1 << 6;
const INITIAL_HASHSIZE = 1024;
const MAX_PORT = 65_535;
const PROTOCOL_NUMBER: Readonly<Record<SetProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
const PROTOCOL_NAME = new Map(Object.entries(PROTOCOL_NUMBER).map(([name, n]) => [n, name as SetProtocol]));
const HEADER = 4;

const request = (command: number, family: AddressFamily, flags: number, attributes: readonly Attribute[]): Request => {
  const all = [u8(ATTR.PROTOCOL, PROTOCOL_VERSION), ...attributes];
  const body = Buffer.alloc(HEADER + sizeOf(all));
  body[0] = FAMILY[family];
  encode(body, HEADER, all);
  return { type: SUBSYSTEM | command, flags, body };
};

/** Newest revision of a set type that this kernel has. Throws NetlinkError: ENOENT when it lacks the type. */
export const typeRevision = (connection: NetlinkConnection, type: SetType, family: AddressFamily): number => {
  const answer = connection.get(
    request(COMMAND.TYPE, family, 0, [text(ATTR.TYPENAME, type), u8(ATTR.FAMILY, FAMILY[family])]),
  );
  return answer === undefined ? 0 : getU8(decode(answer.body.subarray(HEADER)), ATTR.REVISION);
};

/** Creates a set. A set with the same definition is no error. */
export const createSet = (set: SetDefinition, revision: number): Request => {
  const flags = set.hasMarks === true ? [net32(DATA.CADT_FLAGS, FLAG_WITH_SKBINFO)] : [];
  const data =
    set.type === 'bitmap:port'
      ? [net16(DATA.PORT, 0), net16(DATA.PORT_TO, MAX_PORT), ...flags]
      : [net32(DEFINITION.HASHSIZE, INITIAL_HASHSIZE), net32(DEFINITION.MAXELEM, set.maxEntries), ...flags];
  return request(COMMAND.CREATE, set.family, FLAG.CREATE, [
    text(ATTR.SETNAME, set.name),
    text(ATTR.TYPENAME, set.type),
    u8(ATTR.REVISION, revision),
    u8(ATTR.FAMILY, set.type === 'bitmap:port' ? 0 : FAMILY[set.family]),
    nest(ATTR.DATA, data),
  ]);
};

/** Destroys a set. A missing set is no error; BUSY while a rule references it. */
export const destroySet = (name: string): Request => request(COMMAND.DESTROY, 'IPv4', 0, [text(ATTR.SETNAME, name)]);

/** Swaps the contents of two sets, for the rules that reference them too. TYPE_MISMATCH when type or family differ. */
export const swapSets = (name: string, other: string): Request =>
  request(COMMAND.SWAP, 'IPv4', 0, [text(ATTR.SETNAME, name), text(ATTR.TYPENAME, other)]);

const address = (type: number, value: string): Attribute =>
  nest(type, [netBytes(familyOfAddress(value) === 'IPv4' ? IPV4 : IPV6, addressBytes(value))]);

const entryData = ({ address: ip, protocol, port, second, prefix, mark }: SetEntry): readonly Attribute[] => [
  ...(ip === undefined ? [] : [address(DATA.IP, ip)]),
  ...(port === undefined ? [] : [net16(DATA.PORT, port)]),
  ...(protocol === undefined ? [] : [u8(DATA.PROTO, PROTOCOL_NUMBER[protocol])]),
  ...(second === undefined ? [] : [address(ENTRY.IP2, second)]),
  ...(prefix === undefined ? [] : [u8(ENTRY.CIDR2, prefix)]),
  ...(mark === undefined ? [] : [netBytes(ENTRY.SKBMARK, markBytes(mark))]),
];

const markBytes = ({ value, mask }: { readonly value: number; readonly mask: number }): Uint8Array => {
  const buffer = Buffer.alloc(8);
  buffer.writeUInt32BE(value >>> 0, 0);
  buffer.writeUInt32BE(mask >>> 0, 4);
  return buffer;
};

/** Adds an entry. An entry that exists is no error and takes the new mark. */
export const addEntry = (set: SetDefinition, entry: SetEntry): Request =>
  request(COMMAND.ADD, set.family, 0, [text(ATTR.SETNAME, set.name), nest(ATTR.DATA, entryData(entry))]);

/** Deletes an entry. A missing entry is no error. */
export const deleteEntry = (set: SetDefinition, entry: SetEntry): Request =>
  request(COMMAND.DEL, set.family, 0, [text(ATTR.SETNAME, set.name), nest(ATTR.DATA, entryData(entry))]);

/**
 * Lists the sets of these names that exist, with their entries. Other sets are not read, as they may be large. Throws
 * NetlinkError.
 */
export const listSets = (connection: NetlinkConnection, names: readonly string[]): ReadonlyMap<string, ListedSet> =>
  new Map(
    names.flatMap((name) => {
      const set = listSet(connection, name);
      return set === undefined ? [] : [[name, set]];
    }),
  );

/**
 * Lists the same as `listSets` and yields to the event loop in between; nothing else may use the connection until it is
 * done. Throws NetlinkError.
 */
export const readSets = async (
  connection: NetlinkConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, ListedSet>> => {
  const sets = new Map<string, ListedSet>();
  for (const name of names) {
    const parts = await connection.list(listRequest(name), (message) => [partOf(name, message)]).catch(orNone);
    const set = setOf(parts);
    if (set !== undefined) sets.set(name, set);
  }
  return sets;
};

const listSet = (connection: NetlinkConnection, name: string): ListedSet | undefined => {
  try {
    return setOf(connection.dump(listRequest(name)).map((message) => partOf(name, message)));
  } catch (error) {
    return setOf(orNone(error));
  }
};

const listRequest = (name: string): Request => request(COMMAND.LIST, 'IPv4', 0, [text(ATTR.SETNAME, name)]);

const partOf = (name: string, { body }: Message): ListedSet => {
  const attributes = decode(body.subarray(HEADER));
  return { ...definitionOf(name, attributes), entries: entriesOf(attributes) };
};

/** Parts of a set's dump joined; only the first part has the definition. */
const setOf = (parts: readonly ListedSet[]): ListedSet | undefined => {
  const [first] = parts;
  return first && { ...first, entries: parts.flatMap(({ entries }) => entries) };
};

const orNone = (error: unknown): readonly ListedSet[] => {
  if (error instanceof NetlinkError && error.errno === ERRNO.ENOENT) return [];
  throw error;
};

const definitionOf = (name: string, attributes: Attributes): { definition: SetDefinition; references: number } => {
  const data = decodeNest(attributes, ATTR.DATA);
  const definition = {
    name,
    type: getText(attributes, ATTR.TYPENAME) as SetType,
    family: getU8(attributes, ATTR.FAMILY) === FAMILY.IPv6 ? ('IPv6' as const) : ('IPv4' as const),
    maxEntries: getNet32(data, DEFINITION.MAXELEM),
    hasMarks: (getNet32(data, DATA.CADT_FLAGS) & FLAG_WITH_SKBINFO) !== 0,
  };
  return { definition, references: getNet32(data, DEFINITION.REFERENCES) };
};

const getNet32 = (attributes: Attributes, type: number): number => {
  const value = attributes.get(type);
  return value === undefined || value.length < 4 ? 0 : value.readUInt32BE(0);
};

const entriesOf = (attributes: Attributes): readonly SetEntry[] =>
  decodeList(attributes.get(ATTR.ADT) ?? Buffer.alloc(0)).map(([, value]) => entryOf(decode(value)));

const entryOf = (data: Attributes): SetEntry => {
  const ip = addressIn(data, DATA.IP);
  const second = addressIn(data, ENTRY.IP2);
  const protocol = PROTOCOL_NAME.get(getU8(data, DATA.PROTO));
  const mark = data.get(ENTRY.SKBMARK);
  return {
    ...(ip === undefined ? {} : { address: ip }),
    ...(data.has(DATA.PORT) ? { port: getBe16(data, DATA.PORT) } : {}),
    ...(protocol === undefined ? {} : { protocol }),
    ...(second === undefined ? {} : { second }),
    ...(data.has(ENTRY.CIDR2) ? { prefix: getU8(data, ENTRY.CIDR2) } : {}),
    ...(mark === undefined ? {} : { mark: { value: mark.readUInt32BE(0), mask: mark.readUInt32BE(4) } }),
  };
};

const addressIn = (data: Attributes, type: number): string | undefined => {
  const nested = decodeNest(data, type);
  const value = nested.get(IPV4) ?? nested.get(IPV6);
  return value === undefined ? undefined : formatAddress(value);
};
