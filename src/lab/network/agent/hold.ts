/** Held sockets: they show that no connection breaks, and whether a flow moved to another endpoint. */
import type { ProbeOutcome, ServerAnswer } from '../outcome.ts';
import type { AgentTask, HeldState, HoldOptions } from './calls.ts';
import { DEFAULT_TIMEOUT_MS } from './calls.ts';
import { openProbeSocket, type ProbeSocket } from './probe-socket.ts';

const INTERVAL_MS = 20;

class HeldSocket implements AgentTask<HeldState> {
  /** First outcome. */
  readonly first: Promise<ProbeOutcome>;
  readonly #socket: ProbeSocket;
  readonly #intervalMs: number;
  readonly #timeoutMs: number;
  readonly #servers: Record<string, number> = {};
  #resolveFirst: (first: ProbeOutcome) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #roundTrips = 0;
  #missed = 0;
  #latest: ServerAnswer | undefined;
  #failure: ProbeOutcome | undefined;

  constructor({ intervalMs = INTERVAL_MS, timeoutMs = DEFAULT_TIMEOUT_MS, ...target }: HoldOptions) {
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
    this.first = new Promise((resolve) => {
      this.#resolveFirst = resolve;
    });
    this.#socket = openProbeSocket({ timeoutMs, ...target }, (outcome) => this.#onOutcome(outcome));
    this.#await();
  }

  async state(): Promise<HeldState> {
    return {
      alive: this.#failure === undefined && !this.#ended,
      roundTrips: this.#roundTrips,
      missed: this.#missed,
      server: this.#latest?.server ?? '',
      client: this.#latest?.client ?? { address: '', port: 0 },
      servers: { ...this.#servers },
      failure: this.#failure,
    };
  }

  async stop(): Promise<HeldState> {
    const last = await this.state();
    this.#end();
    return last;
  }

  /** Notes an outcome; schedules the next request unless the socket is dead. */
  #onOutcome(outcome: ProbeOutcome): void {
    if (this.#ended) return;
    clearTimeout(this.#timer);
    if (outcome.kind === 'answer') this.#count(outcome);
    else this.#miss(outcome);
    this.#resolveFirst(outcome);
    if (!this.#ended) this.#timer = setTimeout(() => this.#sendRequest(), this.#intervalMs);
  }

  #count({ server, client }: ServerAnswer): void {
    this.#latest = { server, client };
    this.#failure = undefined;
    this.#roundTrips += 1;
    this.#servers[server] = (this.#servers[server] ?? 0) + 1;
  }

  #miss(outcome: ProbeOutcome): void {
    this.#failure = outcome;
    this.#missed += 1;
    if (this.#socket.endsOnFailure) this.#end();
  }

  #sendRequest(): void {
    this.#await();
    this.#socket.sendRequest();
  }

  #await(): void {
    this.#timer = setTimeout(() => this.#onOutcome({ kind: 'timeout' }), this.#timeoutMs);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#socket.end();
  }
}

/** Starts a held socket. Resolves after the first answer; throws when the first outcome is none. */
export const startHold = async (options: HoldOptions): Promise<AgentTask<HeldState>> => {
  const held = new HeldSocket(options);
  const first = await held.first;
  if (first.kind === 'answer') return held;
  await held.stop();
  throw new Error(`nothing to hold on to at ${options.host} port ${options.port}: ${JSON.stringify(first)}`);
};
