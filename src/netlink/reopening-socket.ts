/**
 * A socket that only listens: one that broke is opened again with a back-off, said once, and its owner learns that something may
 * have been missed meanwhile.
 */

export interface ReopeningSocketOptions<T> {
  /** Throws where there is no socket to be had. */
  readonly open: () => T;
  /** Told of the first of breaks in a row. */
  readonly warn?: (reason: string) => void;
  /** In milliseconds. */
  readonly now?: () => number;
}

/** A socket that broke is opened anew after so long, then twice as long, up to the longest. */
const FIRST_MS = 1_000;
const LONGEST_MS = 60_000;

export class ReopeningSocket<T extends { close(): void }> {
  readonly #options: ReopeningSocketOptions<T>;
  #socket: T | undefined;
  /** How often in a row it broke or could not be opened, and when the next try is due. */
  #breaks = 0;
  #dueAt = 0;
  #hasMissed = false;

  constructor(options: ReopeningSocketOptions<T>) {
    this.#options = options;
  }

  /** Calls `listen` with the socket, which it opens where that is due. Undefined while there is none. */
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

  /** Whether a break ended since the last call: what was told during it was told to nobody. */
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
