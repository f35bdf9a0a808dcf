/**
 * Progress of a first sync that takes longer than a second: a bar on a terminal, a line a second in logs.
 */
import cliProgress from 'cli-progress';
import type { BaseLogger } from 'pino';

const SILENT_MS = 1_000;
const PERCENT = 100;

export class Progress {
  readonly #parts = new Map<string, number>();
  readonly #log: Pick<BaseLogger, 'info'>;
  readonly #bar: cliProgress.SingleBar | undefined;
  readonly #now: () => number;
  /** Time of the first update: the wait for the cluster before it is no sync. */
  #startedAt: number | undefined;
  #shownAt = 0;
  #ended = false;

  /** `names`: the families whose parts make up the whole. */
  constructor(
    names: readonly string[],
    log: Pick<BaseLogger, 'info'>,
    stream: NodeJS.WriteStream = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    for (const name of names) this.#parts.set(name, 0);
    this.#log = log;
    this.#now = now;
    if (stream.isTTY !== true) return;
    const format = 'first sync |{bar}| {percentage}% | {duration_formatted}';
    this.#bar = new cliProgress.SingleBar({ stream, format, clearOnComplete: true, hideCursor: true });
  }

  /** Sets the part of `name`'s share that is done, 0 to 1. The bar goes when all are done. */
  update(name: string, part: number): void {
    if (this.#ended) return;
    this.#parts.set(name, part);
    const percent = this.#percent();
    if (percent >= PERCENT) this.stop();
    else this.#show(percent);
  }

  /** Removes the bar, finished or not. */
  stop(): void {
    this.#ended = true;
    if (this.#bar?.isActive === true) this.#bar.stop();
  }

  #show(percent: number): void {
    const now = this.#now();
    this.#startedAt ??= now;
    if (now - this.#startedAt < SILENT_MS) return;
    if (this.#bar !== undefined) {
      if (!this.#bar.isActive) this.#bar.start(PERCENT, percent);
      this.#bar.update(percent);
    } else if (now - this.#shownAt >= SILENT_MS) {
      this.#shownAt = now;
      this.#log.info({ percent, seconds: Math.round((now - this.#startedAt) / 1_000) }, 'first sync under way');
    }
  }

  #percent(): number {
    const parts = [...this.#parts.values()];
    return Math.floor((parts.reduce((sum, part) => sum + part, 0) / parts.length) * PERCENT);
  }
}
