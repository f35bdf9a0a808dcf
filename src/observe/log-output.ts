/**
 * Output of the log. Lines that cannot be written (a full disk, a closed pipe or one without a reader) are counted and
 * reported with the next line that can; the program neither stops nor waits for them.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';

/** Writes bytes and returns how many. Throws as writeSync does; EAGAIN: not now. */
export type WriteBytes = (bytes: Buffer) => number;

/** Line that reports lost lines. */
export type Notice = (lost: number, error: string) => string;

/** Bytes kept while the pipe is full. */
const KEPT_BYTES = 262_144;
const AGAIN_MS = 100;

export class LogOutput {
  readonly #write: WriteBytes;
  #lost = 0;
  /** Number of lost lines that are not reported yet. */
  #untold = 0;
  #error = '';
  /** Lines that wait to be written; the first may be the rest of one. */
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(write: WriteBytes) {
    this.#write = write;
  }

  /** Number of lines lost since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Writes a line. Never throws, never waits. */
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

  /** `told`: number of lost lines that the last kept line reports. */
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

/** Outputs by file descriptor, for the life of the process: successive logs share them. */
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

  /** Number of lines lost since the start. */
  get lost(): number {
    return [...this.#byDescriptor.values()].reduce((sum, { lost }) => sum + lost, 0);
  }
}

/** Non-blocking descriptor. A pipe is opened anew, as other programs may rely on its blocking mode; files never block. */
const withoutWaiting = (fd: number): number => {
  try {
    if (fstatSync(fd).isFIFO()) return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    // the pipe has no reader, or /proc is not mounted
  }
  return fd;
};
