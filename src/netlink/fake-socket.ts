/**
 * A fake netlink socket for tests: a function from the messages of one send to the kernel's answers.
 *
 * Answers are made with `acknowledge`, `refuse`, `part` and `done`. The function decides what a real kernel decides:
 * how many answers a datagram holds, and which requests are acknowledged.
 */
import { writeI32, writeU16, writeU32 } from './bytes.ts';
import { ERRNO, type NetlinkError } from './error.ts';
import { decodeMessages, FLAG, MESSAGE_HEADER, type Message, TYPE } from './message.ts';
import { closed, type Socket } from './socket.ts';

/** A datagram to receive, or an error of recv(2). */
export type FakeAnswer = Buffer | NetlinkError;

/**
 * `respond` may throw NetlinkError, an error of send(2). As in the kernel a socket has one dump at a time: a second one
 * that is requested before the first has ended gets EBUSY. A closed socket throws EBADF.
 */
export const fakeSocket = (
  respond: (messages: readonly Message[], datagram: Buffer) => readonly FakeAnswer[],
): Socket => {
  const waiting: FakeAnswer[] = [];
  let isOpen = true;
  const mustBeOpen = (): void => {
    if (!isOpen) throw closed();
  };
  return {
    send: (datagram) => {
      mustBeOpen();
      const messages = decodeMessages(datagram);
      const isBusy = waiting.some((answer) => Buffer.isBuffer(answer) && endsList(answer));
      const refused = isBusy ? messages.filter(isListRequest) : [];
      const answered = messages.filter((message) => !refused.includes(message));
      waiting.push(...refused.map((message) => refuse(message, ERRNO.EBUSY)));
      if (answered.length > 0) waiting.push(...respond(answered, datagram));
    },
    receive: () => {
      mustBeOpen();
      const next = waiting.shift();
      if (next === undefined || Buffer.isBuffer(next)) return next;
      throw next;
    },
    close: () => {
      isOpen = false;
    },
    port: 0,
  };
};

const isListRequest = ({ flags }: Message): boolean => (flags & FLAG.DUMP) === FLAG.DUMP;

const endsList = (datagram: Buffer): boolean => decodeMessages(datagram).some(({ type }) => type === TYPE.DONE);

const answer = (type: number, flags: number, sequence: number, body: Uint8Array): Buffer => {
  const message = Buffer.alloc(MESSAGE_HEADER + body.length);
  writeU32(message, message.length, 0);
  writeU16(message, type, 4);
  writeU16(message, flags, 6);
  writeU32(message, sequence, 8);
  message.set(body, MESSAGE_HEADER);
  return message;
};

const status = (errno: number, request: Message): Buffer => {
  const body = Buffer.alloc(4 + MESSAGE_HEADER);
  writeI32(body, -errno, 0);
  writeU32(body, MESSAGE_HEADER + request.body.length, 4);
  writeU32(body, request.sequence, 12);
  return body;
};

/** Acknowledgement, only when the request asked for one. */
export const acknowledge = (request: Message): readonly Buffer[] =>
  (request.flags & FLAG.ACK) === 0 ? [] : [answer(TYPE.ERROR, 0, request.sequence, status(0, request))];

/** Error answer, which needs no ACK flag in the request. */
export const refuse = (request: Message, errno: number): Buffer =>
  answer(TYPE.ERROR, 0, request.sequence, status(errno, request));

/** One part of a dump. */
export const part = (request: Message, type: number, body: Uint8Array, flags = 0): Buffer =>
  answer(type, FLAG.MULTI | flags, request.sequence, body);

/** End of a dump. */
export const done = (request: Message, errno = 0): Buffer => {
  const body = Buffer.alloc(4);
  writeI32(body, -errno, 0);
  return answer(TYPE.DONE, FLAG.MULTI, request.sequence, body);
};
