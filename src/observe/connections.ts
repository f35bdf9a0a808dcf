/** A bound on open connections: beyond it the one that has been silent longest makes room, so newcomers are served. */
import type { Socket } from 'node:net';

export class Connections {
  readonly #limit: number;
  /** Silent longest first. */
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

  /** It asked something. */
  touch(socket: Socket): void {
    if (this.#sockets.delete(socket)) this.#sockets.add(socket);
  }
}
