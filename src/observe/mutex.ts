/**
 * Refusal of HTTP pipelining: one request at a time on a connection. Node.js parses whole chunks of requests before a socket
 * can be paused, and responses to pipelined ones would be held for a client that does not read. So the first request of a
 * pipeline is answered and then the connection closed; one of many requests is closed at once.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Most requests that wait on a connection, as each costs memory. */
const MOST_WAITING = 16;

export class ConnectionMutex {
  /** Number of requests that came while a response was under way, by connection. */
  readonly #waiting = new WeakMap<Socket, number>();

  /** Takes the connection until the response is closed; returns false for a request that is not to be answered. */
  acquire({ socket }: IncomingMessage, response: ServerResponse): boolean {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) {
      this.#waiting.set(socket, 0);
      response.once('close', () => this.#release(socket));
      return true;
    }
    this.#waiting.set(socket, waiting + 1);
    socket.pause();
    if (waiting >= MOST_WAITING) socket.destroy();
    return false;
  }

  #release(socket: Socket): void {
    // the connection is closed after the response, which would otherwise be lost
    if (this.#waiting.get(socket) !== 0) socket.destroy();
    this.#waiting.delete(socket);
  }
}
