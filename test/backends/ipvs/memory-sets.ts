/** ipset in memory, with the answers and refusals of the real one (net/netfilter/ipset/ip_set_core.c). */
import {
  type Attribute,
  type Attributes,
  bytes,
  decode,
  decodeNest,
  encode,
  getText,
  getU8,
  nest,
  net32,
  sizeOf,
  text,
  u8,
} from '../../../src/netlink/attributes.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import { IPSET_ERROR } from '../../../src/netlink/ipset.ts';
import { FLAG, type Message } from '../../../src/netlink/message.ts';
import type { Reply } from './memory-end.ts';

const SUBSYSTEM = 6 << 8;
const COMMAND = { CREATE: 2, DESTROY: 3, SWAP: 6, LIST: 7, ADD: 9, DEL: 10, TYPE: 13 } as const;
const ATTR = { PROTOCOL: 1, SETNAME: 2, TYPENAME: 3, REVISION: 4, FAMILY: 5, DATA: 7, ADT: 8, REVISION_MIN: 10 };
const DEFINITION = { FLAGS: 8, HASHSIZE: 18, MAXELEM: 19, REFERENCES: 25 } as const;
const ENTRY = { IP: 1, PORT: 4, PROTO: 7, IP2: 20, CIDR2: 21, SKBMARK: 27 } as const;
const NETWORK_ORDER = 0x4000;
const NESTED = 0x8000;
const WITH_SKBINFO = 1 << 6;
const IPV6 = 10;
const HEADER = 4;
const MAX_NAME = 31;
/** Entries in one message of a listing. */
const PART = 50;
const ERROR = { PROTOCOL: 4097, FIND_TYPE: 4098, INVALID_CIDR: 4104, INVALID_FAMILY: 4106, NO_SKBINFO: 4114 } as const;
/** Newest revision, and what an entry is made of. */
const TYPES: Readonly<Record<string, { readonly revision: number; readonly fields: readonly number[] }>> = {
  'hash:ip': { revision: 6, fields: [ENTRY.IP] },
  'hash:ip,port': { revision: 7, fields: [ENTRY.IP, ENTRY.PORT, ENTRY.PROTO] },
  'hash:ip,port,ip': { revision: 7, fields: [ENTRY.IP, ENTRY.PORT, ENTRY.PROTO, ENTRY.IP2] },
  'hash:ip,port,net': { revision: 8, fields: [ENTRY.IP, ENTRY.PORT, ENTRY.PROTO, ENTRY.IP2, ENTRY.CIDR2] },
  'bitmap:port': { revision: 3, fields: [ENTRY.PORT] },
};

interface MemorySet {
  readonly type: string;
  readonly family: number;
  readonly maxElements: number;
  readonly flags: number;
  readonly entries: Map<string, Attributes>;
}

export class MemorySets {
  /** Of a set, instead of 65,536. */
  capacity = 65_536;
  /** How many rules look into a set. */
  readonly #referencesTo: (name: string) => number;
  readonly #sets = new Map<string, MemorySet>();

  constructor(referencesTo: (name: string) => number) {
    this.#referencesTo = referencesTo;
  }

  get names(): readonly string[] {
    return [...this.#sets.keys()];
  }

  has(name: string): boolean {
    return this.#sets.has(name);
  }

  readonly handle = (message: Message): Reply => {
    const attributes = decode(message.body.subarray(HEADER));
    const name = getText(attributes, ATTR.SETNAME);
    const isStrict = (message.flags & FLAG.EXCL) !== 0;
    switch (message.type & 0xff) {
      case COMMAND.TYPE:
        return revisionOf(getText(attributes, ATTR.TYPENAME));
      case COMMAND.LIST:
        if (name !== '' && !this.#sets.has(name)) return ERRNO.ENOENT;
        return {
          type: SUBSYSTEM | COMMAND.LIST,
          bodies: [...this.#sets].filter(([of]) => name === '' || of === name).flatMap((one) => this.#list(...one)),
        };
      case COMMAND.CREATE:
        return this.#create(name, attributes, isStrict);
      case COMMAND.SWAP:
        return this.#swap(name, getText(attributes, ATTR.TYPENAME));
      case COMMAND.DESTROY:
        if (!this.#sets.has(name)) return isStrict ? ERRNO.ENOENT : 0;
        if (this.#referencesTo(name) > 0) return IPSET_ERROR.BUSY;
        this.#sets.delete(name);
        return 0;
      default:
        return this.#change(message.type & 0xff, name, decodeNest(attributes, ATTR.DATA), isStrict);
    }
  };

  #swap(name: string, otherName: string): number {
    const one = this.#sets.get(name);
    const other = this.#sets.get(otherName);
    if (one === undefined || other === undefined) return ERRNO.ENOENT;
    if (one.type !== other.type || one.family !== other.family) return IPSET_ERROR.TYPE_MISMATCH;
    this.#sets.set(name, other).set(otherName, one);
    return 0;
  }

  #create(name: string, attributes: Attributes, isStrict: boolean): number {
    const data = decodeNest(attributes, ATTR.DATA);
    const type = getText(attributes, ATTR.TYPENAME);
    const known = TYPES[type];
    if (known === undefined || getU8(attributes, ATTR.REVISION) > known.revision) return ERROR.FIND_TYPE;
    if (name.length > MAX_NAME) return ERRNO.EINVAL;
    const created = {
      type,
      family: getU8(attributes, ATTR.FAMILY),
      maxElements: number(data, DEFINITION.MAXELEM),
      flags: number(data, DEFINITION.FLAGS),
      entries: new Map<string, Attributes>(),
    };
    const there = this.#sets.get(name);
    const isSame =
      there?.type === type &&
      there.family === created.family &&
      there.maxElements === created.maxElements &&
      there.flags === created.flags;
    if (there !== undefined) return isSame && !isStrict ? 0 : ERRNO.EEXIST;
    this.#sets.set(name, created);
    return 0;
  }

  #change(command: number, name: string, data: Attributes, isStrict: boolean): number {
    const set = this.#sets.get(name);
    if (set === undefined) return ERRNO.ENOENT;
    const error = errorIn(set, data);
    if (error !== 0) return error;
    const fields = TYPES[set.type]?.fields ?? [];
    const id = fields.map((field) => data.get(field)?.toString('hex')).join(' ');
    const isThere = set.entries.has(id);
    if (command === COMMAND.ADD) {
      if (isThere && isStrict) return IPSET_ERROR.EXIST;
      if (!isThere && set.entries.size >= this.capacity) return IPSET_ERROR.FULL;
      const listed = [...fields, ENTRY.SKBMARK].flatMap((field) => {
        const value = data.get(field);
        return value === undefined ? [] : [[field, Buffer.from(value)] as const];
      });
      set.entries.set(id, new Map(listed));
    } else if (command !== COMMAND.DEL) return ERRNO.EOPNOTSUPP;
    else if (!set.entries.delete(id) && isStrict) return IPSET_ERROR.EXIST;
    return 0;
  }

  /** The first message says what the set is, the others have the rest of its entries. */
  #list(name: string, set: MemorySet): readonly Uint8Array[] {
    const entries = [...set.entries.values()].map((one) => nest(ATTR.DATA, [...one].map(listedField)));
    const parts = Array.from({ length: Math.max(1, Math.ceil(entries.length / PART)) }, (_, i) =>
      entries.slice(i * PART, (i + 1) * PART),
    );
    const definition = nest(ATTR.DATA, [
      ...(set.type === 'bitmap:port'
        ? []
        : [net32(DEFINITION.HASHSIZE, 1024), net32(DEFINITION.MAXELEM, set.maxElements)]),
      net32(DEFINITION.REFERENCES, this.#referencesTo(name)),
      ...(set.flags === 0 ? [] : [net32(DEFINITION.FLAGS, set.flags)]),
    ]);
    return parts.map((part, i) =>
      bodyOf([
        u8(ATTR.PROTOCOL, 7),
        text(ATTR.SETNAME, name),
        ...(i > 0 ? [] : [text(ATTR.TYPENAME, set.type), u8(ATTR.FAMILY, set.family), definition]),
        nest(ATTR.ADT, part),
      ]),
    );
  }
}

const errorIn = ({ type, family, flags }: MemorySet, data: Attributes): number => {
  const missing = (TYPES[type]?.fields ?? []).some((field) => !data.has(field));
  if (missing) return ERROR.PROTOCOL;
  const isOtherFamily = [ENTRY.IP, ENTRY.IP2].some(
    (field) => data.has(field) && decodeNest(data, field).has(2) !== (family === IPV6),
  );
  if (isOtherFamily) return ERROR.INVALID_FAMILY;
  if (data.has(ENTRY.SKBMARK) && (flags & WITH_SKBINFO) === 0) return ERROR.NO_SKBINFO;
  const prefix = data.has(ENTRY.CIDR2) ? getU8(data, ENTRY.CIDR2) : undefined;
  const isNetwork = prefix === undefined || (prefix > 0 && prefix <= (family === IPV6 ? 128 : 32));
  return isNetwork ? 0 : ERROR.INVALID_CIDR;
};

const revisionOf = (type: string): Reply => {
  const known = TYPES[type];
  if (known === undefined) return ERRNO.ENOENT;
  const body = bodyOf([text(ATTR.TYPENAME, type), u8(ATTR.REVISION, known.revision), u8(ATTR.REVISION_MIN, 0)]);
  return { type: SUBSYSTEM | COMMAND.TYPE, bodies: [body] };
};

const bodyOf = (attributes: readonly Attribute[]): Uint8Array => {
  const body = Buffer.alloc(HEADER + sizeOf(attributes));
  encode(body, HEADER, attributes);
  return body;
};

const number = (data: Attributes, type: number): number => data.get(type)?.readUInt32BE(0) ?? 0;

const listedField = ([type, value]: readonly [number, Buffer]): Attribute => {
  if (type === ENTRY.IP || type === ENTRY.IP2) return bytes(type | NESTED, value);
  return bytes(type === ENTRY.PROTO || type === ENTRY.CIDR2 ? type : type | NETWORK_ORDER, value);
};
