/** One end of a kernel in memory: what it answers to each message of a send, as a real one does (netlink(7)). */

import { ERRNO, NetlinkError } from '../../../src/netlink/error.ts';
import { acknowledge, done, type FakeAnswer, fakeSocket, part, refuse } from '../../../src/netlink/fake-socket.ts';
import { FLAG, type Message } from '../../../src/netlink/message.ts';
import type { Socket } from '../../../src/netlink/socket.ts';

/** An errno, 0 for yes; or messages of a type, as the parts of a list or as an answer. */
export type Reply = number | { readonly type: number; readonly bodies: readonly Uint8Array[] };

export class End {
  /** The next send is carried out, and its answers do not fit into the receive buffer. */
  losesAnswers = false;
  readonly #handle: (message: Message) => Reply;

  constructor(handle: (message: Message) => Reply) {
    this.#handle = handle;
  }

  open(): Socket {
    return fakeSocket((messages) => {
      const answers = messages.flatMap((message) => this.#answer(message));
      if (!this.losesAnswers) return answers;
      this.losesAnswers = false;
      return [new NetlinkError(ERRNO.ENOBUFS, 'recv')];
    });
  }

  #answer(message: Message): readonly FakeAnswer[] {
    const reply = this.#handle(message);
    if (typeof reply === 'number') return reply === 0 ? acknowledge(message) : [refuse(message, reply)];
    const parts = reply.bodies.map((body) => part(message, reply.type, body));
    return (message.flags & FLAG.DUMP) === FLAG.DUMP ? [...parts, done(message)] : [...parts, ...acknowledge(message)];
  }
}
