/**
 * A netlink socket with numbered messages: requests go out with sequence numbers, and answers are matched to requests by them.
 *
 * Sequence numbers have 32 bits and wrap around to 1: an answer belongs to the request at its distance from the first one's
 * number.
 */
import { ERRNO, NetlinkError } from './error.ts';
import { decodeMessages, encodeMessage, type Message, messageLength, type Request } from './message.ts';
import type { Socket } from './socket.ts';

const ANSWER_MS = 10_000;
/** Sequence numbers are 1 to this: 0 is what the kernel's own notifications carry. */
const SEQUENCES = 2 ** 32 - 1;

export class SequencedSocket {
  readonly #socket: Socket;
  /** Number of the last message sent. */
  #sequence: number;
  #sends = 0;
  #messages = 0;

  /** The first message gets the number after `sequence`. */
  constructor(socket: Socket, sequence: number) {
    this.#socket = socket;
    this.#sequence = sequence;
  }

  get sent(): { readonly sends: number; readonly messages: number } {
    return { sends: this.#sends, messages: this.#messages };
  }

  get port(): number {
    return this.#socket.port;
  }

  close(): void {
    this.#socket.close();
  }

  /** Sends all requests as one datagram; returns the sequence number of the first. Throws NetlinkError. */
  send(requests: readonly Request[], flags: number, lastFlags: number): number {
    const first = advance(this.#sequence, 1);
    const datagram = Buffer.alloc(requests.reduce((sum, request) => sum + messageLength(request), 0));
    let at = 0;
    for (const [i, request] of requests.entries()) {
      at = encodeMessage(datagram, at, request, advance(first, i), i === requests.length - 1 ? lastFlags : flags);
    }
    this.#sequence = advance(this.#sequence, requests.length);
    this.#socket.send(datagram);
    this.#sends += 1;
    this.#messages += requests.length;
    return first;
  }

  /** The messages of the next datagram. Throws NetlinkError, ETIMEDOUT when none comes. */
  next(): readonly Message[] {
    const datagram = this.#socket.receive(ANSWER_MS);
    if (datagram === undefined) throw new NetlinkError(ERRNO.ETIMEDOUT, 'the kernel did not answer');
    return decodeMessages(datagram);
  }

  /**
   * Reads answers to `count` requests, each with its request's position, until `isLast` returns true. Answers to other
   * requests are left over from an earlier failure and skipped.
   */
  receive(first: number, count: number, isLast: (message: Message, position: number) => boolean): void {
    for (;;) {
      for (const message of this.next()) {
        const position = distance(first, message.sequence);
        if (position < count && isLast(message, position)) return;
      }
    }
  }
}

const advance = (sequence: number, places: number): number => ((sequence - 1 + places + SEQUENCES) % SEQUENCES) + 1;

/** How many places `other` is after `first`; infinite for 0, the number of no request. */
const distance = (first: number, other: number): number =>
  other === 0 ? Number.POSITIVE_INFINITY : (other - first + SEQUENCES) % SEQUENCES;
