/** What can be asked of an agent, as types: the one page that both ends of the line read. */
import type { ProbeOutcome, ProbeTarget, ServerAnswer, Transport } from '../outcome.ts';

/**
 * How long to wait for an answer when nothing else is said. Longer than the second after which a SYN is sent again: a
 * refusal by ICMPv6 that comes back before `connect` has let go of its socket is lost (Linux keeps IPv4's only), which
 * between namespaces of one machine is the rule, and only the second one counts.
 */
export const DEFAULT_TIMEOUT_MS = 1_500;
/** How many tries to make at once when nothing else is said. */
export const DEFAULT_PARALLEL = 32;

export interface ServeOptions {
  readonly protocol: Transport;
  /** 0 takes a free one. */
  readonly port: number;
  /**
   * Absent: all addresses of both families. To be given for UDP on a host with several, as an answer's source address
   * is otherwise the one that routing prefers.
   */
  readonly host?: string;
  /** What the server answers with. */
  readonly name: string;
}

export interface ServerState {
  readonly port: number;
  /** Connections or datagrams so far. */
  readonly served: number;
}

export interface ProbeOptions extends Omit<ProbeTarget, 'timeoutMs'> {
  readonly tries?: number;
  readonly timeoutMs?: number;
  /** How many tries at once; one when the source port is given. */
  readonly parallel?: number;
}

export interface HoldOptions extends Omit<ProbeTarget, 'timeoutMs'> {
  /** Between an answer and the next question. */
  readonly intervalMs?: number;
  /** An answer that takes longer counts as missed, and a TCP connection as dead. */
  readonly timeoutMs?: number;
}

/** One connection, or one UDP socket, that is kept and asked again and again. */
export interface HeldState {
  /** TCP: the connection stands. UDP: the latest question was answered. */
  readonly alive: boolean;
  readonly roundTrips: number;
  /** UDP only: questions without an answer. */
  readonly missed: number;
  /** Who answered last. */
  readonly server: string;
  readonly client: ServerAnswer['client'];
  /** Round trips by server: more than one name when a UDP flow was given another endpoint. */
  readonly servers: Readonly<Record<string, number>>;
  /** Why it is not alive. */
  readonly failure?: ProbeOutcome | undefined;
}

export interface LoadOptions extends Omit<ProbeTarget, 'timeoutMs' | 'localPort'> {
  /** How many tries at once, each on a connection of its own. */
  readonly parallel?: number;
  readonly timeoutMs?: number;
  /** Between the end of a try and the next one of the same row: keeps a load from taking the whole machine. */
  readonly pauseMs?: number;
  /** Absent: until it is stopped. */
  readonly seconds?: number;
}

export interface LoadTotals {
  readonly seconds: number;
  readonly tries: number;
  readonly answers: number;
  readonly servers: Readonly<Record<string, number>>;
  /** By kind (and code), as in a Summary. */
  readonly failures: Readonly<Record<string, number>>;
  readonly running: boolean;
}

/** Something that goes on in an agent until it is stopped. */
export interface AgentTask<State> {
  state(): Promise<State>;
  /** Ends it and says how it stood. */
  stop(): Promise<State>;
}

type Handle = { readonly id: number };

/** Name → what goes there and what comes back. */
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

/** Sequence number 0 comes first and unasked: the agent is there. */
export type AgentResponse =
  | { readonly sequence: number; readonly result: unknown }
  | { readonly sequence: number; readonly error: string };
