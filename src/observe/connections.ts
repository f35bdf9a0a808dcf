/** Bound on open connections: a new one closes the connection that has been silent longest, and so is always served. */
import type { Socket } from 'node:net';

export class Connections {
  readonly #limit: number;
  /** Sockets, those silent longest first. */
  readonly #sockets = new Set<Socket>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    for (const oldest of this.#sockets) {
      if (this.#sockets.size <= this.#limit) break;
      this.#sockets.delete(oldest);
      oldest.destroy();
    }
  }

  /** Marks a connection as the most recently used. */
  touch(socket: Socket): void {
    if (this.#sockets.delete(socket)) this.#sockets.add(socket);
  }
}
