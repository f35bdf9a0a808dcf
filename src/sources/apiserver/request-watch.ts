/**
 * Request metrics as in client-go: requests are counted when the response begins and timed when it ends. A watch is
 * counted and not timed; a request without a response has code `<error>`.
 */
import type { IncomingMessage } from 'node:http';

export interface RequestListener {
  /** Called when a response begins, or when there is none. */
  answered(request: { readonly method: string; readonly host: string; readonly code: string }): void;
  /** Called when a response was read to its end, or abandoned. */
  ended(request: { readonly method: string; readonly host: string; readonly seconds: number }): void;
}

export class RequestWatch {
  readonly #host: string;
  #listener: RequestListener | undefined;

  constructor(host: string) {
    this.#host = host;
  }

  listen(listener: RequestListener): void {
    this.#listener = listener;
  }

  /** Reports a request; resolves with its response. */
  async follow(method: string, streams: boolean, answer: Promise<IncomingMessage>): Promise<IncomingMessage> {
    const startedAt = performance.now();
    const of = { method, host: this.#host };
    const end = (): void => {
      if (!streams) this.#listener?.ended({ ...of, seconds: (performance.now() - startedAt) / 1_000 });
    };
    try {
      const response = await answer;
      this.#listener?.answered({ ...of, code: String(response.statusCode) });
      response.once('close', end);
      return response;
    } catch (error) {
      this.#listener?.answered({ ...of, code: '<error>' });
      end();
      throw error;
    }
  }
}
