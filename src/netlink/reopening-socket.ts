/**
 * A multicast socket that is reopened with back-off when it breaks. The first of consecutive breaks is logged, and its
 * owner is told that notifications may have been lost.
 */

export interface ReopeningSocketOptions<T> {
  /** Opens the socket. Throws when it cannot. */
  readonly open: () => T;
  /** Called for the first of consecutive breaks. */
  readonly warn?: (reason: string) => void;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Back-off before the socket is reopened: doubles from the first to the longest. */
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

export class ReopeningSocket<T extends { close(): void }> {
  readonly #options: ReopeningSocketOptions<T>;
  #socket: T | undefined;
  /** Consecutive breaks and failed opens, and the time at which the next attempt is due. */
  #breaks = 0;
  #dueAt = 0;
  #hasMissed = false;

  constructor(options: ReopeningSocketOptions<T>) {
    this.#options = options;
  }

  /** Calls `listen` with the socket, which is opened first when that is due. Undefined while there is no socket. */
  ask<R>(listen: (socket: T) => R): R | undefined {
    this.open();
    if (this.#socket === undefined) return undefined;
    try {
      const heard = listen(this.#socket);
      this.#breaks = 0;
      return heard;
    } catch (error) {
      this.#broke(error);
      return undefined;
    }
  }

  /** Whether the socket was reopened since the last call: notifications during the break are lost. */
  takeMissed(): boolean {
    const hasMissed = this.#hasMissed;
    this.#hasMissed = false;
    return hasMissed;
  }

  open(): void {
    if (this.#socket !== undefined || (this.#breaks > 0 && this.#now() < this.#dueAt)) return;
    try {
      this.#socket = this.#options.open();
      this.#hasMissed ||= this.#breaks > 0;
    } catch (error) {
      this.#broke(error);
    }
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  #now(): number {
    return (this.#options.now ?? (() => performance.now()))();
  }

  #broke(error: unknown): void {
    this.close();
    this.#dueAt = this.#now() + Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#breaks);
    this.#breaks += 1;
    if (this.#breaks === 1) this.#options.warn?.(error instanceof Error ? error.message : String(error));
  }
}
