/**
 * Reading what a server sends, with an eye on the clock: a peer that falls silent must not hold us for ever.
 */
import type { IncomingMessage } from 'node:http';
import { ApiError, Silence } from './errors.ts';

/** Destroys a response, with an error for whoever reads it, when bytes do not come in time. */
export class Watchdog {
  readonly #response: IncomingMessage;
  #silence: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(response: IncomingMessage) {
    this.#response = response;
  }

  /** From now on the next bytes are due within this time, again and again. */
  expectBytesWithin(ms: number): void {
    clearTimeout(this.#silence);
    this.#silence = this.#destroyAfter(ms, `silent for ${ms} ms`);
  }

  /** The whole response is due by then. */
  expectEndWithin(ms: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = this.#destroyAfter(ms, `not closed by the server after ${ms} ms`);
  }

  fed(): void {
    this.#silence?.refresh();
  }

  stop(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#deadline);
  }

  #destroyAfter(ms: number, why: string): NodeJS.Timeout {
    return setTimeout(() => this.#response.destroy(new Silence(why)), ms);
  }
}

/** The whole body as text. */
export const readText = async (response: IncomingMessage, silenceMs: number): Promise<string> =>
  (await readBody(response, silenceMs)).toString('utf8');

export const readBody = async (response: IncomingMessage, silenceMs: number): Promise<Buffer> => {
  const watchdog = new Watchdog(response);
  watchdog.expectBytesWithin(silenceMs);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) {
      watchdog.fed();
      chunks.push(chunk as Buffer);
    }
  } finally {
    watchdog.stop();
  }
  return Buffer.concat(chunks);
};

/** Throws what the server answered instead of 200, or of 201 for what was made. */
export const requireOk = async (response: IncomingMessage, silenceMs: number): Promise<void> => {
  const code = response.statusCode ?? 0;
  if (code === 200 || code === 201) return;
  throw ApiError.fromAnswer(code, await readText(response, silenceMs), response.headers['retry-after']);
};
