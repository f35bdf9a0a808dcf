/**
 * Cache of an expensive page. Concurrent requests share one rendering. The next one is made after nine times the rendering's
 * length, or a second if that is less. Requests within a second share a page that a client still reads: otherwise slow
 * readers would each have a page of their own in memory.
 */
export interface RenderingOptions {
  readonly make: () => Promise<string>;
  /** True while a client reads this body. */
  readonly isHeld: (body: Buffer) => boolean;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

interface Made {
  readonly at: number;
  /** Time from which another may be made. */
  readonly dueAt: number;
  readonly body: Buffer;
}

const FRESH_MS = 1_000;
/** Rest per rendering time: at most a tenth of the time is spent on renderings. */
const REST = 9;

export class Rendering {
  readonly #options: RenderingOptions;
  readonly #now: () => number;
  #underWay: Promise<Buffer> | undefined;
  #last: Made | undefined;

  constructor(options: RenderingOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  async get(): Promise<Buffer> {
    if (this.#underWay !== undefined) return this.#underWay;
    const last = this.#fresh();
    if (last !== undefined) return last;
    const underWay = this.#make();
    this.#underWay = underWay;
    try {
      return await underWay;
    } finally {
      this.#underWay = undefined;
    }
  }

  #fresh(): Buffer | undefined {
    if (this.#last === undefined) return undefined;
    const { at, dueAt, body } = this.#last;
    const now = this.#now();
    return now - at < FRESH_MS && (now < dueAt || this.#options.isHeld(body)) ? body : undefined;
  }

  async #make(): Promise<Buffer> {
    const at = this.#now();
    const body = Buffer.from(await this.#options.make());
    const made = { at, dueAt: at + (1 + REST) * (this.#now() - at), body };
    this.#last = made;
    // after FRESH_MS only its readers keep the body
    setTimeout(() => {
      if (this.#last === made) this.#last = undefined;
    }, FRESH_MS).unref();
    return body;
  }
}
