/**
 * A first sync that takes longer than a second shows how far it is: a bar on a terminal, a line a second in logs.
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
  readonly #startedAt: number;
  #shownAt: number;

  /** `names`: whose parts make up the whole. */
  constructor(
    names: readonly string[],
    log: Pick<BaseLogger, 'info'>,
    stream: NodeJS.WriteStream = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    for (const name of names) this.#parts.set(name, 0);
    this.#log = log;
    this.#now = now;
    this.#startedAt = now();
    this.#shownAt = now();
    if (stream.isTTY !== true) return;
    const format = 'first sync |{bar}| {percentage}% | {duration_formatted}';
    this.#bar = new cliProgress.SingleBar({ stream, format, clearOnComplete: true, hideCursor: true });
  }

  /** `part` of `name`'s share is done, 0 to 1. */
  update(name: string, part: number): void {
    this.#parts.set(name, part);
    const now = this.#now();
    if (now - this.#startedAt < SILENT_MS) return;
    const percent = this.#percent();
    if (this.#bar !== undefined) {
      if (!this.#bar.isActive) this.#bar.start(PERCENT, percent);
      this.#bar.update(percent);
      if (percent >= PERCENT) this.#bar.stop();
    } else if (now - this.#shownAt >= SILENT_MS) {
      this.#shownAt = now;
      this.#log.info({ percent, seconds: Math.round((now - this.#startedAt) / 1_000) }, 'first sync under way');
    }
  }

  /** Takes the bar away, finished or not. */
  stop(): void {
    if (this.#bar?.isActive === true) this.#bar.stop();
  }

  #percent(): number {
    const parts = [...this.#parts.values()];
    return Math.floor((parts.reduce((sum, part) => sum + part, 0) / parts.length) * PERCENT);
  }
}
