/** Calls of an agent as types, shared by the agent and its parent. */
import type { ProbeOutcome, ProbeTarget, ServerAnswer, Transport } from '../outcome.ts';

/**
 * Default time-out of an answer. It exceeds the second after which a SYN is retransmitted: an ICMPv6 refusal that
 * arrives while `connect` holds its socket is lost (Linux keeps IPv4's only), which is usual between namespaces of one
 * machine, so the refusal of the retransmitted SYN counts.
 */
export const DEFAULT_TIMEOUT_MS = 1_500;
/** Default number of concurrent attempts. */
export const DEFAULT_PARALLEL = 32;

export interface ServeOptions {
  readonly protocol: Transport;
  /** Port; 0 = any free one. */
  readonly port: number;
  /**
   * Address to listen on; absent = all addresses of both families. Needed for UDP on a host with several addresses, as
   * an answer's source address is chosen by routing otherwise.
   */
  readonly host?: string;
  /** Name in the server's answers. */
  readonly name: string;
}

export interface ServerState {
  readonly port: number;
  /** Number of connections or datagrams so far. */
  readonly served: number;
}

export interface ProbeOptions extends Omit<ProbeTarget, 'timeoutMs'> {
  readonly tries?: number;
  readonly timeoutMs?: number;
  /** Concurrent attempts; one when the source port is given. */
  readonly parallel?: number;
}

export interface HoldOptions extends Omit<ProbeTarget, 'timeoutMs'> {
  /** Pause between an answer and the next request. */
  readonly intervalMs?: number;
  /** Time-out after which an answer counts as missed, and a TCP connection as dead. */
  readonly timeoutMs?: number;
}

/** State of a held TCP connection or UDP socket, which sends requests repeatedly. */
export interface HeldState {
  /** TCP: whether the connection is established. UDP: whether the latest request was answered. */
  readonly alive: boolean;
  readonly roundTrips: number;
  /** Requests without an answer, for UDP only. */
  readonly missed: number;
  /** Server of the last answer. */
  readonly server: string;
  readonly client: ServerAnswer['client'];
  /** Round trips by server; a UDP flow that moved to another endpoint has several. */
  readonly servers: Readonly<Record<string, number>>;
  /** Failure of a dead connection. */
  readonly failure?: ProbeOutcome | undefined;
}

export interface LoadOptions extends Omit<ProbeTarget, 'timeoutMs' | 'localPort'> {
  /** Concurrent attempts, each on a connection of its own. */
  readonly parallel?: number;
  readonly timeoutMs?: number;
  /** Pause between consecutive attempts, which bounds the load on the machine. */
  readonly pauseMs?: number;
  /** Duration; absent = until it is stopped. */
  readonly seconds?: number;
}

export interface LoadTotals {
  readonly seconds: number;
  readonly tries: number;
  readonly answers: number;
  readonly servers: Readonly<Record<string, number>>;
  /** Failures by kind and code, as in a Summary. */
  readonly failures: Readonly<Record<string, number>>;
  readonly running: boolean;
}

/** Task that runs in an agent until it is stopped. */
export interface AgentTask<State> {
  state(): Promise<State>;
  /** Stops the task; returns its last state. */
  stop(): Promise<State>;
}

type Handle = { readonly id: number };

/** Parameters and results of the calls, by name. */
export interface AgentCalls {
  readonly serve: { readonly params: ServeOptions; readonly result: Handle & { readonly port: number } };
  readonly hold: { readonly params: HoldOptions; readonly result: Handle };
  readonly load: { readonly params: LoadOptions; readonly result: Handle };
  readonly probe: { readonly params: ProbeOptions; readonly result: readonly ProbeOutcome[] };
  readonly state: { readonly params: Handle; readonly result: ServerState | HeldState | LoadTotals };
  readonly stop: { readonly params: Handle; readonly result: ServerState | HeldState | LoadTotals };
}

export type CallName = keyof AgentCalls;

export interface AgentRequest<N extends CallName = CallName> {
  readonly sequence: number;
  readonly name: N;
  readonly params: AgentCalls[N]['params'];
}

/** Response; sequence number 0 announces that the agent is ready. */
export type AgentResponse =
  | { readonly sequence: number; readonly result: unknown }
  | { readonly sequence: number; readonly error: string };
