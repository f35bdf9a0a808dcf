/**
 * Splits a byte stream into lines. Bytes, as a multi-byte character may be split between chunks; line feed only, as
 * JSON may contain other line separators.
 */

const LINE_FEED = 0x0a;

/** Bound of one line, far above any object's size, so that a line without end does not fill memory. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

export class LineSplitter {
  #pieces: Buffer[] = [];
  #size = 0;

  /** Adds a chunk; returns the lines that it completes. */
  push(chunk: Buffer): readonly string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      lines.push(this.#take(chunk.subarray(start, end)));
      start = end + 1;
    }
    if (start < chunk.length) {
      this.#pieces.push(chunk.subarray(start));
      this.#size += chunk.length - start;
    }
    if (this.#size > MAX_LINE_BYTES) throw new RangeError(`a line of more than ${MAX_LINE_BYTES} bytes`);
    return lines;
  }

  /** Number of bytes of the incomplete line. */
  get pending(): number {
    return this.#size;
  }

  #take(last: Buffer): string {
    if (this.#size === 0) return last.toString('utf8');
    const line = Buffer.concat([...this.#pieces, last]).toString('utf8');
    this.#pieces = [];
    this.#size = 0;
    return line;
  }
}
