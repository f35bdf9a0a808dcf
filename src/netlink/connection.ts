/**
 * Requests over one netlink socket, and what the kernel answers to each.
 *
 * Many messages go in one send and only the last asks for an acknowledgement: an acknowledgement occupies most of a KiB of
 * the receive buffer, and some hundred of them overrun it (ENOBUFS). A message that fails is answered with its own sequence
 * number even without that flag. The kernel works in order, so the answer to the last message ends the wait.
 */
import { setImmediate as rest } from 'node:timers/promises';
import { ERRNO, errorOf, NetlinkError } from './error.ts';
import { errnoOf, FLAG, MESSAGE_HEADER, type Message, messageLength, type Request, TYPE } from './message.ts';
import { SequencedSocket } from './sequenced-socket.ts';
import type { Socket } from './socket.ts';

export interface RequestFailure {
  /** Position of the request, from 0. */
  readonly index: number;
  readonly error: NetlinkError;
}

/** A refused transaction: the first error, and the requests that the kernel named. */
export interface BatchRefusal {
  readonly error: NetlinkError;
  readonly failures: readonly RequestFailure[];
}

/** Larger datagrams were measured to be no faster. */
const SEND_BYTES = 1 << 17;
/** Time that one turn of the event loop spends on reading a dump. */
const TURN_MS = 5;
/** Attempts at a dump that changes while it is read (NLM_F_DUMP_INTR). */
const MAX_DUMPS = 20;

export interface NetlinkConnectionOptions {
  /** Sequence number of the message before the first one; set by tests. */
  readonly sequence?: number;
  /** Milliseconds that one turn of the event loop spends on reading a dump; one datagram is read at least. */
  readonly turnMs?: number;
}

export class NetlinkConnection {
  readonly #socket: SequencedSocket;
  readonly #turnMs: number;
  /** A dump is being read in parts; the socket takes no other request until it ends. */
  #isDumping = false;

  constructor(socket: Socket, { sequence = 0, turnMs = TURN_MS }: NetlinkConnectionOptions = {}) {
    this.#socket = new SequencedSocket(socket, sequence);
    this.#turnMs = turnMs;
  }

  get sent(): { readonly sends: number; readonly messages: number } {
    return this.#socket.sent;
  }

  /** Port id of the socket, see `Socket.port`. */
  get port(): number {
    return this.#socket.port;
  }

  close(): void {
    this.#socket.close();
  }

  /**
   * Executes all requests, also after one has failed; returns the failures. Throws NetlinkError when answers were lost.
   */
  execute(requests: readonly Request[]): readonly RequestFailure[] {
    const failures: RequestFailure[] = [];
    for (const { from, to } of chunks(requests)) failures.push(...this.#executeChunk(requests, from, to));
    return failures;
  }

  /** Executes one request that is answered by an acknowledgement only. Throws NetlinkError. */
  run(request: Request): void {
    const [failure] = this.execute([request]);
    if (failure !== undefined) throw failure.error;
  }

  /**
   * Executes a netfilter transaction: one send, done as a whole or not at all. Returns the refusal, undefined when it
   * is done. The begin message is answered only when the transaction as a whole fails, and then no other message may
   * be. Without the end message the kernel checks the transaction and drops it. Throws NetlinkError when answers were
   * lost.
   */
  batch(begin: Request, requests: readonly Request[], end: Request | undefined): BatchRefusal | undefined {
    const marked = [begin, ...requests.slice(0, -1)];
    const last = requests.at(-1);
    if (last === undefined) return undefined;
    const first = this.#send(
      [...marked, { ...last, flags: last.flags | FLAG.ACK }, ...(end === undefined ? [] : [end])],
      0,
    );
    const failures: RequestFailure[] = [];
    this.#socket.receive(first, requests.length + 1, (message, position) => {
      if (message.type !== TYPE.ERROR) return false;
      const index = position - 1;
      const error = errorOf(message);
      if (error !== undefined) failures.push({ index, error });
      return index === requests.length - 1 || (index === -1 && error !== undefined);
    });
    const [failure] = failures;
    return failure && { error: failure.error, failures: failures.filter(({ index }) => index >= 0) };
  }

  /** Requests one object. Throws NetlinkError, also when the object does not exist. */
  get(request: Request): Message | undefined {
    const first = this.#send([request], FLAG.ACK);
    let answer: Message | undefined;
    this.#socket.receive(first, 1, (message) => {
      if (message.type === TYPE.ERROR) {
        const error = errorOf(message);
        if (error !== undefined) throw error;
        return true;
      }
      answer = copy(message);
      return false;
    });
    return answer;
  }

  /** Dumps all objects; a dump that changed while it was read is repeated. Throws NetlinkError. */
  dump(request: Request): readonly Message[] {
    for (let attempt = 1; ; attempt += 1) {
      const { messages, isTorn } = this.#dumpOnce(request);
      if (!isTorn) return messages;
      if (attempt === MAX_DUMPS) throw new NetlinkError(ERRNO.EINTR, 'the list changes faster than it can be read');
    }
  }

  /**
   * Dumps all objects like `dump`, and yields to the event loop like `visit`. `read` converts each message, which is
   * valid until it returns. Throws NetlinkError.
   */
  async list<T>(request: Request, read: (message: Message) => readonly T[]): Promise<readonly T[]> {
    for (let attempt = 1; attempt <= MAX_DUMPS; attempt += 1) {
      const found: T[] = [];
      const isWhole = await this.visit(request, (message) => {
        for (const one of read(message)) found.push(one);
      });
      if (isWhole) return found;
    }
    throw new NetlinkError(ERRNO.EINTR, 'the list changes faster than it can be read');
  }

  /**
   * Dumps objects in parts and yields to the event loop in between; returns whether the dump was consistent. Other
   * requests throw an Error until it is done: the kernel would answer EBUSY, or the answers would be mixed up. A
   * message is valid until `take` returns. Throws NetlinkError.
   */
  async visit(request: Request, take: (message: Message) => void): Promise<boolean> {
    const sequence = this.#send([{ ...request, flags: request.flags | FLAG.DUMP }], 0);
    this.#isDumping = true;
    try {
      return await this.#visitParts(sequence, take);
    } finally {
      this.#isDumping = false;
    }
  }

  async #visitParts(sequence: number, take: (message: Message) => void): Promise<boolean> {
    let isWhole = true;
    for (let isDone = false; !isDone; ) {
      const until = performance.now() + this.#turnMs;
      do {
        for (const message of this.#socket.next()) {
          if (message.sequence !== sequence) continue;
          isDone = endsList(message);
          isWhole &&= (message.flags & FLAG.DUMP_INTR) === 0 && !(isDone && errnoOf(message) === ERRNO.EINTR);
          if (!isDone) take(message);
        }
      } while (!isDone && performance.now() < until);
      if (!isDone) await rest();
    }
    return isWhole;
  }

  #dumpOnce(request: Request): { readonly messages: readonly Message[]; readonly isTorn: boolean } {
    const sequence = this.#send([{ ...request, flags: request.flags | FLAG.DUMP }], 0);
    const messages: Message[] = [];
    let isTorn = false;
    this.#socket.receive(sequence, 1, (message) => {
      isTorn ||= (message.flags & FLAG.DUMP_INTR) !== 0;
      if (message.type === TYPE.ERROR || message.type === TYPE.DONE) {
        const errno = errnoOf(message);
        if (errno === ERRNO.EINTR) isTorn = true;
        else if (errno !== 0) throw errorOf(message) ?? new NetlinkError(errno, '');
        return true;
      }
      messages.push(copy(message));
      return false;
    });
    return { messages, isTorn };
  }

  #executeChunk(requests: readonly Request[], from: number, to: number): readonly RequestFailure[] {
    const failures: RequestFailure[] = [];
    const first = this.#sendAll(requests.slice(from, to), from, failures);
    if (first === undefined) return failures;
    const count = to - from;
    this.#socket.receive(first, count, (message, position) => {
      if (message.type !== TYPE.ERROR) return false;
      const error = errorOf(message);
      if (error !== undefined) failures.push({ index: from + position, error });
      return position === count - 1;
    });
    return failures;
  }

  /** Sends a chunk; halves it on EMSGSIZE, until the message that is too large is alone and fails by itself. */
  #sendAll(requests: readonly Request[], from: number, failures: RequestFailure[]): number | undefined {
    try {
      return this.#send(requests, 0, FLAG.ACK);
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errno !== ERRNO.EMSGSIZE) throw error;
      if (requests.length === 1) {
        failures.push({ index: from, error });
        return undefined;
      }
      const half = requests.length >> 1;
      failures.push(
        ...this.#shifted(requests.slice(0, half), from),
        ...this.#shifted(requests.slice(half), from + half),
      );
      return undefined;
    }
  }

  #shifted(requests: readonly Request[], by: number): readonly RequestFailure[] {
    return this.#executeChunk(requests, 0, requests.length).map(({ index, error }) => ({ index: index + by, error }));
  }

  /** Returns the sequence number of the first request. Throws an Error while a dump is read. */
  #send(requests: readonly Request[], flags: number, lastFlags = flags): number {
    if (this.#isDumping) throw new Error('a netlink connection was used while a list was read over it');
    return this.#socket.send(requests, flags, lastFlags);
  }
}

/** Whether this message ends a dump. Throws NetlinkError when the dump failed; EINTR means inconsistent, not failed. */
const endsList = (message: Message): boolean => {
  if (message.type !== TYPE.ERROR && message.type !== TYPE.DONE) return false;
  const errno = errnoOf(message);
  if (errno !== 0 && errno !== ERRNO.EINTR) throw errorOf(message) ?? new NetlinkError(errno, '');
  return true;
};

/** Copies a message out of the receive buffer, which the socket reuses. */
const copy = (message: Message): Message => ({ ...message, body: Buffer.from(message.body) });

function* chunks(requests: readonly Request[]): Generator<{ readonly from: number; readonly to: number }> {
  let from = 0;
  let size = 0;
  for (const [i, request] of requests.entries()) {
    const length = Math.max(messageLength(request), MESSAGE_HEADER);
    if (i > from && size + length > SEND_BYTES) {
      yield { from, to: i };
      from = i;
      size = 0;
    }
    size += length;
  }
  if (from < requests.length) yield { from, to: requests.length };
}
