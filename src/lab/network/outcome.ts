/** What probing means: where a try goes, and what may come of it. The words between agents and those who ask them. */

/** SCTP is missing: node has no sockets for it. */
export type Transport = 'tcp' | 'udp';

export interface ProbeTarget {
  readonly protocol: Transport;
  /** An address, not a name. */
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** The source port; any when absent. */
  readonly localPort?: number | undefined;
  /** The source address; the kernel's choice when absent. */
  readonly sourceAddress?: string | undefined;
}

/** What a server says to whoever calls: who it is, and who the caller is in its eyes. */
export interface ServerAnswer {
  readonly server: string;
  readonly client: { readonly address: string; readonly port: number };
}

export type ProbeOutcome =
  | ({ readonly kind: 'answer' } & ServerAnswer)
  /** The other side said no: a TCP reset, or an ICMP port unreachable. */
  | { readonly kind: 'refused' }
  /** Nobody said anything in time. */
  | { readonly kind: 'timeout' }
  /** The network said no: an ICMP error other than the above, or no route. */
  | { readonly kind: 'unreachable'; readonly code: string }
  /** Anything else, such as a connection that broke before the answer. */
  | { readonly kind: 'error'; readonly code: string };

const UNREACHABLE: ReadonlySet<string> = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'EACCES']);

/** The outcome behind the error of a socket. */
export const outcomeOf = (error: NodeJS.ErrnoException): ProbeOutcome => {
  const code = error.code ?? error.message;
  if (code === 'ECONNREFUSED') return { kind: 'refused' };
  if (code === 'ETIMEDOUT') return { kind: 'timeout' };
  return { kind: UNREACHABLE.has(code) ? 'unreachable' : 'error', code };
};
