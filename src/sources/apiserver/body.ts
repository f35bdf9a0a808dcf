/** Response bodies, read with time-outs: a silent server must not block a request without end. */
import type { IncomingMessage } from 'node:http';
import { ApiError, Silence } from './errors.ts';

/** Destroys a response when bytes do not arrive in time; its reader gets the error. */
export class Watchdog {
  readonly #response: IncomingMessage;
  #silence: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(response: IncomingMessage) {
    this.#response = response;
  }

  /** Bounds the time between any two chunks from now on. */
  expectBytesWithin(ms: number): void {
    clearTimeout(this.#silence);
    this.#silence = this.#destroyAfter(ms, `silent for ${ms} ms`);
  }

  /** Bounds the time until the end of the response. */
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

/** Reads the whole body as text. */
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

/** Throws ApiError unless the status is 200, or 201 after a creation. */
export const requireOk = async (response: IncomingMessage, silenceMs: number): Promise<void> => {
  const code = response.statusCode ?? 0;
  if (code === 200 || code === 201) return;
  throw ApiError.fromAnswer(code, await readText(response, silenceMs), response.headers['retry-after']);
};
