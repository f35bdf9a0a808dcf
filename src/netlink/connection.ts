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
  /** Which of the requests, from 0. */
  readonly index: number;
  readonly error: NetlinkError;
}

/** What became of a transaction that is not done: the first error, and the requests that were named. */
export interface BatchRefusal {
  readonly error: NetlinkError;
  readonly failures: readonly RequestFailure[];
}

/** Bigger sends gain nothing. */
const SEND_BYTES = 1 << 17;
/** How long a list is read at a stretch. */
const TURN_MS = 5;
/** A dump of something that keeps changing is begun again, this often at most. */
const MAX_DUMPS = 20;

export interface NetlinkConnectionOptions {
  /** Messages sent before, for tests: the first one has the number behind it. */
  readonly sequence?: number;
  /** Milliseconds for which a list is read at a stretch, one datagram at least. */
  readonly turnMs?: number;
}

export class NetlinkConnection {
  readonly #socket: SequencedSocket;
  readonly #turnMs: number;
  /** A list is being read part by part, and nothing else may be asked. */
  #isDumping = false;

  constructor(socket: Socket, { sequence = 0, turnMs = TURN_MS }: NetlinkConnectionOptions = {}) {
    this.#socket = new SequencedSocket(socket, sequence);
    this.#turnMs = turnMs;
  }

  get sent(): { readonly sends: number; readonly messages: number } {
    return this.#socket.sent;
  }

  /** See Socket. */
  get port(): number {
    return this.#socket.port;
  }

  close(): void {
    this.#socket.close();
  }

  /** Carries out all requests, whatever comes of each; gives those that failed. Throws when nothing can be known. */
  execute(requests: readonly Request[]): readonly RequestFailure[] {
    const failures: RequestFailure[] = [];
    for (const { from, to } of chunks(requests)) failures.push(...this.#executeChunk(requests, from, to));
    return failures;
  }

  /** One request that has no answer but yes. Throws NetlinkError. */
  run(request: Request): void {
    const [failure] = this.execute([request]);
    if (failure !== undefined) throw failure.error;
  }

  /**
   * A transaction of netfilter's: one send, all of it or nothing. Gives what was refused, undefined when it is done. The
   * mark at its begin is answered only where the transaction as a whole fails, and then nothing else may be; without the mark at its
   * end the kernel looks at it and forgets it. Throws NetlinkError when nothing can be known.
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

  /** The answer to a request for one thing. Throws NetlinkError, also when it does not exist. */
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

  /** Everything that a request for a list gives. A list that changed while it was read is read again. Throws NetlinkError. */
  dump(request: Request): readonly Message[] {
    for (let attempt = 1; ; attempt += 1) {
      const { messages, isTorn } = this.#dumpOnce(request);
      if (!isTorn) return messages;
      if (attempt === MAX_DUMPS) throw new NetlinkError(ERRNO.EINTR, 'the list changes faster than it can be read');
    }
  }

  /**
   * The same with rests in between, as for `visit`: what `read` makes of each message, which is valid until it returns. Throws
   * NetlinkError.
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
   * A long list part by part, with rests in which the process does other things; gives whether the list was of one piece.
   * Whoever uses this connection before it is done gets an Error: the kernel would answer EBUSY, or one would take the other's
   * parts. A message is valid until `take` returns. Throws NetlinkError.
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

  /** A message that is too large for the socket fails by itself: the chunk is halved until it is alone. */
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

  /** Returns the sequence number of the first request. */
  #send(requests: readonly Request[], flags: number, lastFlags = flags): number {
    if (this.#isDumping) throw new Error('a netlink connection was used while a list was read over it');
    return this.#socket.send(requests, flags, lastFlags);
  }
}

/** Whether this message ends a list. Throws NetlinkError where it says that something failed; a list that was torn did not. */
const endsList = (message: Message): boolean => {
  if (message.type !== TYPE.ERROR && message.type !== TYPE.DONE) return false;
  const errno = errnoOf(message);
  if (errno !== 0 && errno !== ERRNO.EINTR) throw errorOf(message) ?? new NetlinkError(errno, '');
  return true;
};

/** The socket uses its buffer again. */
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
