/**
 * Netlink attributes: type, length and value, padded to four bytes; a value may be a list of attributes
 * (linux/netlink.h).
 *
 * Attributes are written from a tree of plain objects, which `encode` turns into bytes at once, and read into a map by
 * type.
 */
import { readU16, readU32, readU64, writeU16, writeU32 } from './bytes.ts';

export interface Attribute {
  readonly type: number;
  readonly value: Uint8Array | readonly Attribute[];
}

const HEADER = 4;
const NESTED = 0x8000;
const NET_BYTE_ORDER = 0x4000;
const TYPE_MASK = 0x3fff;
/** The length field has 16 bits. */
export const MAX_ATTRIBUTE = 0xffff;

export const align = (length: number): number => (length + 3) & ~3;

export const bytes = (type: number, value: Uint8Array): Attribute => ({ type, value });
export const nest = (type: number, value: readonly Attribute[]): Attribute => ({ type: type | NESTED, value });
export const u8 = (type: number, value: number): Attribute => ({ type, value: Uint8Array.of(value) });

export const u16 = (type: number, value: number): Attribute => {
  const buffer = Buffer.allocUnsafe(2);
  writeU16(buffer, value, 0);
  return { type, value: buffer };
};

export const u32 = (type: number, value: number): Attribute => {
  const buffer = Buffer.allocUnsafe(4);
  writeU32(buffer, value, 0);
  return { type, value: buffer };
};

/** Network byte order without the NET_BYTE_ORDER flag: IPVS ports. */
export const be16 = (type: number, value: number): Attribute => ({
  type,
  value: Uint8Array.of(value >> 8, value & 255),
});

/** Network byte order without the NET_BYTE_ORDER flag: all numbers of nf_tables. */
export const be32 = (type: number, value: number): Attribute => {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeUInt32BE(value);
  return { type, value: buffer };
};

export const be64 = (type: number, value: bigint): Attribute => {
  const buffer = Buffer.allocUnsafe(8);
  buffer.writeBigUInt64BE(value);
  return { type, value: buffer };
};

/** Network byte order with the NET_BYTE_ORDER flag, which ipset and conntrack demand. */
export const net16 = (type: number, value: number): Attribute => be16(type | NET_BYTE_ORDER, value);

export const net32 = (type: number, value: number): Attribute => {
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeUInt32BE(value);
  return { type: type | NET_BYTE_ORDER, value: buffer };
};

export const netBytes = (type: number, value: Uint8Array): Attribute => ({ type: type | NET_BYTE_ORDER, value });

/** Text, terminated by a zero byte. */
export const text = (type: number, value: string): Attribute => ({ type, value: Buffer.from(`${value}\0`) });

const isNest = (value: Attribute['value']): value is readonly Attribute[] => Array.isArray(value);

/** Length of an attribute in bytes, without the padding after it. */
const lengthOf = ({ value }: Attribute): number => HEADER + (isNest(value) ? sizeOf(value) : value.length);

/** Length of a list of attributes in bytes, padding included. */
export const sizeOf = (attributes: readonly Attribute[]): number =>
  attributes.reduce((sum, attribute) => sum + align(lengthOf(attribute)), 0);

/**
 * Writes the attributes from `at` on; returns the offset after them. The target must be zeroed, as padding is not
 * written.
 */
export const encode = (target: Buffer, at: number, attributes: readonly Attribute[]): number => {
  let offset = at;
  for (const attribute of attributes) {
    const { type, value } = attribute;
    const length = lengthOf(attribute);
    if (length > MAX_ATTRIBUTE) throw new RangeError(`netlink attribute ${type & TYPE_MASK} of ${length} bytes`);
    writeU16(target, length, offset);
    writeU16(target, type, offset + 2);
    if (isNest(value)) encode(target, offset + HEADER, value);
    else target.set(value, offset + HEADER);
    offset += align(length);
  }
  return offset;
};

export type Attributes = ReadonlyMap<number, Buffer>;

/** Reads attributes in order, of which several may have the same type. A truncated attribute is left out. */
export const decodeList = (buffer: Buffer): readonly (readonly [number, Buffer])[] => {
  const list: [number, Buffer][] = [];
  for (let at = 0; at + HEADER <= buffer.length; ) {
    const length = readU16(buffer, at);
    if (length < HEADER || at + length > buffer.length) break;
    list.push([readU16(buffer, at + 2) & TYPE_MASK, buffer.subarray(at + HEADER, at + length)]);
    at += align(length);
  }
  return list;
};

/**
 * Reads attributes of distinct types; of several with the same type the last one counts. Does not go through
 * `decodeList`, as set listings have hundreds of thousands of elements.
 */
export const decode = (buffer: Buffer): Attributes => {
  const attributes = new Map<number, Buffer>();
  for (let at = 0; at + HEADER <= buffer.length; ) {
    const length = readU16(buffer, at);
    if (length < HEADER || at + length > buffer.length) break;
    attributes.set(readU16(buffer, at + 2) & TYPE_MASK, buffer.subarray(at + HEADER, at + length));
    at += align(length);
  }
  return attributes;
};

/**
 * Whether an attribute of this type has exactly these bytes. Compares in place, without copying or decoding the rest.
 */
export const isText = (
  { bytes: all, from, to }: { readonly bytes: Buffer; readonly from: number; readonly to: number },
  type: number,
  expected: Buffer,
): boolean => {
  for (let at = from; at + HEADER <= to; ) {
    const length = readU16(all, at);
    if (length < HEADER || at + length > to) return false;
    if ((readU16(all, at + 2) & TYPE_MASK) === type)
      return all.compare(expected, 0, expected.length, at + HEADER, at + length) === 0;
    at += align(length);
  }
  return false;
};

const NONE: Attributes = new Map();

export const decodeNest = (attributes: Attributes, type: number): Attributes => {
  const value = attributes.get(type);
  return value === undefined ? NONE : decode(value);
};

export const getU16 = (attributes: Attributes, type: number): number => {
  const value = attributes.get(type);
  return value === undefined || value.length < 2 ? 0 : readU16(value, 0);
};

export const getU32 = (attributes: Attributes, type: number): number => {
  const value = attributes.get(type);
  return value === undefined || value.length < 4 ? 0 : readU32(value, 0);
};

export const getU64 = (attributes: Attributes, type: number): bigint => {
  const value = attributes.get(type);
  return value === undefined || value.length < 8 ? 0n : readU64(value, 0);
};

export const getU8 = (attributes: Attributes, type: number): number => attributes.get(type)?.[0] ?? 0;

export const getBe16 = (attributes: Attributes, type: number): number => {
  const value = attributes.get(type);
  return value === undefined || value.length < 2 ? 0 : value.readUInt16BE(0);
};

export const getBe32 = (attributes: Attributes, type: number): number => {
  const value = attributes.get(type);
  return value === undefined || value.length < 4 ? 0 : value.readUInt32BE(0);
};

export const getBe64 = (attributes: Attributes, type: number): bigint => {
  const value = attributes.get(type);
  return value === undefined || value.length < 8 ? 0n : value.readBigUInt64BE(0);
};

export const getText = (attributes: Attributes, type: number): string =>
  (attributes.get(type) ?? Buffer.alloc(0)).toString('latin1').replace(/\0.*$/s, '');
