/**
 * A byte stream cut into lines. On bytes, so that a character of several bytes may be split anywhere; and by line feed
 * alone, as JSON may contain every other kind of line separator.
 */

const LINE_FEED = 0x0a;

/** No object is nearly as large: an endless line is not collected until memory is full. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

export class LineSplitter {
  #pieces: Buffer[] = [];
  #size = 0;

  /** The lines that this chunk completes. */
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

  /** Bytes of a line that is not complete. */
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
