/**
 * A page that costs something to make, made once for all who ask at the same time, and again only after nine times as long as that
 * took, or a second. While somebody still reads it, it is what those get who ask within a second: else readers that take their
 * time would each have one of their own made and kept.
 */
export interface RenderingOptions {
  readonly make: () => Promise<string>;
  /** True while a client reads this one. */
  readonly isHeld: (body: Buffer) => boolean;
  /** Milliseconds, of no wall clock. */
  readonly now?: () => number;
}

interface Made {
  readonly at: number;
  /** When another may be made. */
  readonly dueAt: number;
  readonly body: Buffer;
}

const FRESH_MS = 1_000;
/** At most a tenth of the time goes into it. */
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
    // then only its readers keep it
    setTimeout(() => {
      if (this.#last === made) this.#last = undefined;
    }, FRESH_MS).unref();
    return body;
  }
}
