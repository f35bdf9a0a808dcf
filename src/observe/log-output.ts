/**
 * Output of the log. Lines that cannot be written are lost, and counted, and told with the first one that can: a full disk, a
 * closed pipe or one that nobody reads is no reason to stop, or to stand still.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';

/** Puts bytes out and gives how many. Throws as writeSync does; EAGAIN = not now. */
export type WriteBytes = (bytes: Buffer) => number;

/** The line that tells of lost ones. */
export type Notice = (lost: number, error: string) => string;

/** While nobody reads, so much is kept. */
const KEPT_BYTES = 262_144;
const AGAIN_MS = 100;

export class LogOutput {
  readonly #write: WriteBytes;
  #lost = 0;
  /** Of the lost ones, those of which no line tells yet. */
  #untold = 0;
  #error = '';
  /** Bytes that are to be written first; the first of them may be the rest of a line. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  /** Lines, since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Never throws, never waits. */
  line(text: string, notice: Notice): void {
    const untold = this.#untold;
    const bytes = Buffer.from(untold === 0 ? text : notice(untold, this.#error) + text);
    if (this.#keptBytes + bytes.length > KEPT_BYTES) {
      this.#lose('nobody reads it');
      this.#flush();
      return;
    }
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
    this.#untold = 0;
    this.#flush(untold);
  }

  /** `told`: of how many lost lines the last one tells. */
  #flush(told = 0): void {
    clearTimeout(this.#timer);
    for (let [first] = this.#kept; first !== undefined; [first] = this.#kept) {
      try {
        const count = this.#write(first);
        this.#keptBytes -= count;
        if (count < first.length) this.#kept[0] = first.subarray(count);
        else this.#kept.shift();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
          this.#timer = setTimeout(() => this.#flush(), AGAIN_MS).unref();
          return;
        }
        for (const _ of this.#kept) this.#lose(error instanceof Error ? error.message : String(error));
        this.#untold += told;
        this.#kept = [];
        this.#keptBytes = 0;
      }
    }
  }

  #lose(error: string): void {
    this.#lost += 1;
    this.#untold += 1;
    this.#error = error;
  }
}

/** One for stdout and one for stderr, for as long as the process lives, whatever logs follow each other. */
export class LogOutputs {
  readonly #byDescriptor = new Map<number, LogOutput>();

  of(fd: number): LogOutput {
    const known = this.#byDescriptor.get(fd);
    if (known !== undefined) return known;
    const target = withoutWaiting(fd);
    const output = new LogOutput((bytes) => writeSync(target, bytes));
    this.#byDescriptor.set(fd, output);
    return output;
  }

  /** Lines, since the start. */
  get lost(): number {
    return [...this.#byDescriptor.values()].reduce((sum, { lost }) => sum + lost, 0);
  }
}

/** A pipe is opened anew, as others may use the same one and expect to be made to wait. Files never make one wait for a reader. */
const withoutWaiting = (fd: number): number => {
  try {
    if (fstatSync(fd).isFIFO()) return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // nobody has the other end, or /proc is not there
  }
  return fd;
};
