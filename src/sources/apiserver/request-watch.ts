/**
 * Who wants to know how requests go: counted when the answer begins, timed when it ends. As client-go does, so a watch
 * is counted and never timed, and what came to nothing has the code `<error>`.
 */
import type { IncomingMessage } from 'node:http';

export interface RequestListener {
  /** An answer began, or there is none. */
  answered(request: { readonly method: string; readonly host: string; readonly code: string }): void;
  /** It was read to its end, or given up. */
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

  /** Gives the answer as it comes. */
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
