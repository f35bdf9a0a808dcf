/**
 * A bound on what is kept for clients that have not read it yet. A body that several of them read is kept, and counted, once.
 */
export class Held {
  readonly #limit: number;
  readonly #readers = new Map<Buffer, number>();
  #bytes = 0;

  /** `limit`: bytes. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Of all bodies that somebody reads. */
  get bytes(): number {
    return this.#bytes;
  }

  has(body: Buffer): boolean {
    return this.#readers.has(body);
  }

  /** One reader more. False = there is no room for it; one body always has room, or a large page could never be had. */
  take(body: Buffer): boolean {
    const readers = this.#readers.get(body) ?? 0;
    if (readers === 0) {
      if (this.#bytes > 0 && this.#bytes + body.length > this.#limit) return false;
      this.#bytes += body.length;
    }
    this.#readers.set(body, readers + 1);
    return true;
  }

  /** One reader less: it has all, or is gone. */
  release(body: Buffer): void {
    const readers = this.#readers.get(body) ?? 0;
    if (readers > 1) {
      this.#readers.set(body, readers - 1);
    } else if (this.#readers.delete(body)) {
      this.#bytes -= body.length;
    }
  }
}
