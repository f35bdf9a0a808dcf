/**
 * Bound on the bodies kept for clients that have not read them yet. A body that several clients read is counted once.
 */
export class Held {
  readonly #limit: number;
  readonly #readers = new Map<Buffer, number>();
  #bytes = 0;

  /** `limit`: bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes of all kept bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  has(body: Buffer): boolean {
    return this.#readers.has(body);
  }

  /** Adds a reader; returns false when there is no room. A single body always has room, however large. */
  take(body: Buffer): boolean {
    const readers = this.#readers.get(body) ?? 0;
    if (readers === 0) {
      if (this.#bytes > 0 && this.#bytes + body.length > this.#limit) return false;
      this.#bytes += body.length;
    }
    this.#readers.set(body, readers + 1);
    return true;
  }

  /** Removes a reader. */
  release(body: Buffer): void {
    const readers = this.#readers.get(body) ?? 0;
    if (readers > 1) {
      this.#readers.set(body, readers - 1);
    } else if (this.#readers.delete(body)) {
      this.#bytes -= body.length;
    }
  }
}
