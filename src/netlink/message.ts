/** Netlink messages: a header of 16 bytes, then the family's payload (linux/netlink.h). */
import { align } from './attributes.ts';
import { readI32, readU16, readU32, writeU16, writeU32 } from './bytes.ts';

/** A request; length and sequence number are filled in when it is sent. */
export interface Request {
  readonly type: number;
  /** Flags other than REQUEST, which every request has. */
  readonly flags: number;
  /** Payload after the message header. */
  readonly body: Uint8Array;
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Buffer;
}

export const MESSAGE_HEADER = 16;

export const FLAG = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  /** On a part of a dump: the dumped objects changed meanwhile. */
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

export const TYPE = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

export const messageLength = ({ body }: Request): number => align(MESSAGE_HEADER + body.length);

/** Writes one message; returns the offset after it. */
export const encodeMessage = (
  target: Buffer,
  at: number,
  request: Request,
  sequence: number,
  flags: number,
): number => {
  writeU32(target, MESSAGE_HEADER + request.body.length, at);
  writeU16(target, request.type, at + 4);
  writeU16(target, request.flags | FLAG.REQUEST | flags, at + 6);
  writeU32(target, sequence, at + 8);
  writeU32(target, 0, at + 12); // port id: filled in by the kernel
  target.set(request.body, at + MESSAGE_HEADER);
  return at + messageLength(request);
};

/** Messages of one datagram; a truncated one is left out. */
export const decodeMessages = (datagram: Buffer): readonly Message[] => {
  const messages: Message[] = [];
  for (let at = 0; at + MESSAGE_HEADER <= datagram.length; ) {
    const length = readU32(datagram, at);
    if (length < MESSAGE_HEADER || at + length > datagram.length) break;
    messages.push({
      type: readU16(datagram, at + 4),
      flags: readU16(datagram, at + 6),
      sequence: readU32(datagram, at + 8),
      body: datagram.subarray(at + MESSAGE_HEADER, at + length),
    });
    at += align(length);
  }
  return messages;
};

/** errno of an error or done message; 0 = success. */
export const errnoOf = ({ body }: Message): number => (body.length < 4 ? 0 : -readI32(body, 0));
