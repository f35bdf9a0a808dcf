/** Client of an agent: starts its process in a namespace and maps calls to messages. */
import { execa } from 'execa';
import type { ProbeOutcome } from '../outcome.ts';
import { scaled } from '../time-scale.ts';
import { toolEnvironment } from '../tools.ts';
import type {
  AgentCalls,
  AgentResponse,
  AgentTask,
  CallName,
  HeldState,
  HoldOptions,
  LoadOptions,
  LoadTotals,
  ProbeOptions,
  ServeOptions,
  ServerState,
} from './calls.ts';
import { DEFAULT_PARALLEL, DEFAULT_TIMEOUT_MS } from './calls.ts';

const START_DEADLINE_MS = scaled(30_000);
const CALL_DEADLINE_MS = scaled(10_000);

export interface Agent {
  /** Starts a server on a port. Resolves when it listens. */
  serve(options: ServeOptions, signal?: AbortSignal): Promise<AgentTask<ServerState> & { readonly port: number }>;
  /** Runs attempts; returns the outcome of each. */
  probe(options: ProbeOptions, signal?: AbortSignal): Promise<readonly ProbeOutcome[]>;
  /** Opens one connection (TCP) or flow (UDP) and keeps it in use. Throws when there is no answer. */
  hold(options: HoldOptions, signal?: AbortSignal): Promise<AgentTask<HeldState>>;
  /** Starts a load, which runs until it is stopped and keeps counts only. */
  load(options: LoadOptions, signal?: AbortSignal): Promise<AgentTask<LoadTotals>>;
  /** Ends the process with all its tasks. */
  close(): Promise<void>;
}

interface CallOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal | undefined;
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Process of an agent. Responses may arrive in any order; when the process exits, all open calls fail. */
class AgentProcess {
  /** Resolves when the agent is ready; rejects when it does not start. */
  readonly ready: Promise<unknown>;
  readonly #process;
  readonly #pending = new Map<number, Pending>();
  #latest = 0;

  constructor(namespace: string, entry: string) {
    this.#process = execa('ip', ['netns', 'exec', namespace, process.execPath, entry, 'agent'], {
      ipc: true,
      serialization: 'json',
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
      buffer: false,
      reject: false,
      env: toolEnvironment(),
    });
    this.#process.on('message', (message) => this.#receive(message as AgentResponse));
    void this.#process.then(() => this.#failAll(new Error(`the agent in ${namespace} has ended`)));
    this.ready = this.#answer(0, { deadlineMs: START_DEADLINE_MS });
  }

  async call<N extends CallName>(name: N, params: AgentCalls[N]['params'], options: CallOptions = {}) {
    this.#latest += 1;
    const sequence = this.#latest;
    const answer = this.#answer(sequence, options);
    if (!this.#process.connected) this.#receive({ sequence, error: 'the agent has ended' });
    else this.#process.send({ sequence, name, params }, (error) => error && this.#failAll(error));
    return (await answer) as AgentCalls[N]['result'];
  }

  async close(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#process;
  }

  #answer(sequence: number, { deadlineMs = CALL_DEADLINE_MS, signal }: CallOptions): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    let onAbort = (): void => undefined;
    const answer = new Promise((resolve, reject) => {
      this.#pending.set(sequence, { resolve, reject });
      timer = setTimeout(() => reject(new Error(`no word from the agent within ${deadlineMs} ms`)), deadlineMs);
      onAbort = () => reject(signal?.reason);
      signal?.addEventListener('abort', onAbort);
      if (signal?.aborted === true) onAbort();
    });
    return answer.finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#pending.delete(sequence);
    });
  }

  #receive(response: AgentResponse): void {
    const pending = this.#pending.get(response.sequence);
    if ('error' in response) pending?.reject(new Error(response.error));
    else pending?.resolve(response.result);
  }

  #failAll(error: Error): void {
    for (const { reject } of this.#pending.values()) reject(error);
  }
}

/** Longest duration of a successful probe. */
const probeDeadline = ({ tries = 1, parallel, localPort, timeoutMs = DEFAULT_TIMEOUT_MS }: ProbeOptions): number => {
  const atOnce = localPort === undefined ? (parallel ?? DEFAULT_PARALLEL) : 1;
  return CALL_DEADLINE_MS + Math.ceil(tries / atOnce) * timeoutMs;
};

const running = <State extends ServerState | HeldState | LoadTotals>(
  agentProcess: AgentProcess,
  id: number,
  timeoutMs: number,
): AgentTask<State> => {
  const options = { deadlineMs: CALL_DEADLINE_MS + timeoutMs };
  return {
    // the agent returns the state of the task with this id
    state: async () => (await agentProcess.call('state', { id }, options)) as State,
    stop: async () => (await agentProcess.call('stop', { id }, options)) as State,
  };
};

/** Starts an agent and waits until it is ready. The process ends with `close`, or with this process. */
export const startAgent = async (namespace: string, entry: string): Promise<Agent> => {
  const agentProcess = new AgentProcess(namespace, entry);
  try {
    await agentProcess.ready;
  } catch (error) {
    await agentProcess.close();
    throw error;
  }
  return {
    serve: async (options, signal) => {
      const { id, port } = await agentProcess.call('serve', options, { signal });
      return { ...running<ServerState>(agentProcess, id, 0), port };
    },
    probe: (options, signal) => agentProcess.call('probe', options, { signal, deadlineMs: probeDeadline(options) }),
    hold: async (options, signal) => {
      const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;
      const { id } = await agentProcess.call('hold', options, { signal, deadlineMs: CALL_DEADLINE_MS + timeoutMs });
      return running<HeldState>(agentProcess, id, 0);
    },
    load: async (options, signal) => {
      const { timeoutMs = DEFAULT_TIMEOUT_MS, pauseMs = 0 } = options;
      const { id } = await agentProcess.call('load', options, { signal });
      return running<LoadTotals>(agentProcess, id, timeoutMs + pauseMs);
    },
    close: () => agentProcess.close(),
  };
};
