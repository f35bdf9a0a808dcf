/** Integers in messages: host byte order in headers, network byte order where a protocol says so. */
import { endianness } from 'node:os';

const isLittle = endianness() === 'LE';

export const readU16 = (bytes: Buffer, at: number): number =>
  isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
export const readU32 = (bytes: Buffer, at: number): number =>
  isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
export const readI32 = (bytes: Buffer, at: number): number =>
  isLittle ? bytes.readInt32LE(at) : bytes.readInt32BE(at);
export const readU64 = (bytes: Buffer, at: number): bigint =>
  isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at);

export const writeU16 = (bytes: Buffer, value: number, at: number): void => {
  if (isLittle) bytes.writeUInt16LE(value, at);
  else bytes.writeUInt16BE(value, at);
};

export const writeU32 = (bytes: Buffer, value: number, at: number): void => {
  if (isLittle) bytes.writeUInt32LE(value, at);
  else bytes.writeUInt32BE(value, at);
};

export const writeI32 = (bytes: Buffer, value: number, at: number): void => {
  if (isLittle) bytes.writeInt32LE(value, at);
  else bytes.writeInt32BE(value, at);
};
