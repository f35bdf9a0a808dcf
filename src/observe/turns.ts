/**
 * One request at a time on a connection. A client that asks again before it has read would have answers made that are held
 * for it: whole chunks of requests are parsed before anything can be paused. So the first one is answered, and its end is
 * the connection's; who sends many at once hears nothing.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests that wait cost memory too. */
const MOST_WAITING = 16;

export class Turns {
  /** Connections with an answer under way → how many requests came meanwhile. */
  readonly #waiting = new WeakMap<Socket, number>();

  /** False = not to be answered. */
  begin({ socket }: IncomingMessage, response: ServerResponse): boolean {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) {
      this.#waiting.set(socket, 0);
      response.once('close', () => this.#end(socket));
      return true;
    }
    this.#waiting.set(socket, waiting + 1);
    socket.pause();
    if (waiting >= MOST_WAITING) socket.destroy();
    return false;
  }

  #end(socket: Socket): void {
    // closed only now, so that the answer is not lost
    if (this.#waiting.get(socket) !== 0) socket.destroy();
    this.#waiting.delete(socket);
  }
}
