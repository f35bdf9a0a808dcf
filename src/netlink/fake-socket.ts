/**
 * A kernel for tests: a function from the messages of one send to the answers, behind the interface of a socket.
 *
 * Answers are made with `acknowledge`, `refuse` and `part`; what a real kernel does with them (many in one datagram, an
 * acknowledgement only where one was asked for) is up to the function.
 */
import { writeI32, writeU16, writeU32 } from './bytes.ts';
import { ERRNO, type NetlinkError } from './error.ts';
import { decodeMessages, FLAG, MESSAGE_HEADER, type Message, TYPE } from './message.ts';
import { closed, type Socket } from './socket.ts';

/** A datagram to be received, or an error of recv(2). */
export type FakeAnswer = Buffer | NetlinkError;

/**
 * `respond` may throw NetlinkError: an error of send(2). As with the kernel one list at a time goes through a socket: a
 * second one, asked for before the first has ended, gets EBUSY, and nothing works once it is closed.
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

/** Yes, if the request asked for it. */
export const acknowledge = (request: Message): readonly Buffer[] =>
  (request.flags & FLAG.ACK) === 0 ? [] : [answer(TYPE.ERROR, 0, request.sequence, status(0, request))];

/** No: comes whether it was asked for or not. */
export const refuse = (request: Message, errno: number): Buffer =>
  answer(TYPE.ERROR, 0, request.sequence, status(errno, request));

/** One part of a list. */
export const part = (request: Message, type: number, body: Uint8Array, flags = 0): Buffer =>
  answer(type, FLAG.MULTI | flags, request.sequence, body);

/** The end of a list. */
export const done = (request: Message, errno = 0): Buffer => {
  const body = Buffer.alloc(4);
  writeI32(body, -errno, 0);
  return answer(TYPE.DONE, FLAG.MULTI, request.sequence, body);
};
