/** Targets and outcomes of probes, shared by agents and their callers. */

/** Transport protocol; without SCTP, as Node.js has no sockets for it. */
export type Transport = 'tcp' | 'udp';

export interface ProbeTarget {
  readonly protocol: Transport;
  /** IP address. */
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** Source port; absent = any. */
  readonly localPort?: number | undefined;
  /** Source address; absent = the kernel's choice. */
  readonly sourceAddress?: string | undefined;
}

/** Answer of a server: its name, and the client's address as it sees it. */
export interface ServerAnswer {
  readonly server: string;
  readonly client: { readonly address: string; readonly port: number };
}

export type ProbeOutcome =
  | ({ readonly kind: 'answer' } & ServerAnswer)
  /** Refused: a TCP reset, or ICMP port unreachable. */
  | { readonly kind: 'refused' }
  /** No answer in time. */
  | { readonly kind: 'timeout' }
  /** Unreachable: another ICMP error, or no route. */
  | { readonly kind: 'unreachable'; readonly code: string }
  /** Other error, such as a connection that broke before the answer. */
  | { readonly kind: 'error'; readonly code: string };

const UNREACHABLE: ReadonlySet<string> = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EACCES']);

/** Outcome by the error of a socket. */
export const outcomeOf = (error: NodeJS.ErrnoException): ProbeOutcome => {
  const code = error.code ?? error.message;
  if (code === 'ECONNREFUSED') return { kind: 'refused' };
  if (code === 'ETIMEDOUT') return { kind: 'timeout' };
  return { kind: UNREACHABLE.has(code) ? 'unreachable' : 'error', code };
};
