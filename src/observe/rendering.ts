/**
 * A page that costs something to make, made once for all who ask at the same time. While somebody still reads it, it is also
 * what those get who ask within a second: else readers that take their time would each have one of their own made and kept.
 */
export interface RenderingOptions {
  readonly make: () => Promise<string>;
  /** Somebody reads this one. */
  readonly isHeld: (body: Buffer) => boolean;
  /** Milliseconds, of no wall clock. */
  readonly now?: () => number;
}

interface Made {
  readonly at: number;
  /** Kept by its readers alone. */
  readonly body: WeakRef<Buffer>;
}

const FRESH_MS = 1_000;

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
    const last = this.#beingRead();
    if (last !== undefined) return last;
    const underWay = this.#make();
    this.#underWay = underWay;
    try {
      return await underWay;
    } finally {
      this.#underWay = undefined;
    }
  }

  #beingRead(): Buffer | undefined {
    if (this.#last === undefined || this.#now() - this.#last.at > FRESH_MS) return undefined;
    const body = this.#last.body.deref();
    return body !== undefined && this.#options.isHeld(body) ? body : undefined;
  }

  async #make(): Promise<Buffer> {
    const at = this.#now();
    const body = Buffer.from(await this.#options.make());
    this.#last = { at, body: new WeakRef(body) };
    return body;
  }
}
