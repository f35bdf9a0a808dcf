/**
 * Agent: a process in one namespace that serves and probes, by calls of its parent over IPC.
 *
 * Owns its tasks until they are stopped; exits with its parent.
 */
import { once } from 'node:events';
import { probe, startLoad } from './attempts.ts';
import type {
  AgentCalls,
  AgentRequest,
  AgentResponse,
  AgentTask,
  CallName,
  HeldState,
  LoadTotals,
  ServerState,
} from './calls.ts';
import { startHold } from './hold.ts';
import { serve } from './servers.ts';

type AnyRunning = AgentTask<ServerState | HeldState | LoadTotals>;
type Handlers = { readonly [N in CallName]: (params: AgentCalls[N]['params']) => Promise<AgentCalls[N]['result']> };

const createHandlers = (): Handlers => {
  const running = new Map<number, AnyRunning>();
  let latest = 0;
  const keep = (started: AnyRunning): { readonly id: number } => {
    latest += 1;
    running.set(latest, started);
    return { id: latest };
  };
  const find = (id: number): AnyRunning => {
    const found = running.get(id);
    if (found === undefined) throw new Error(`nothing runs under ${id}: was it stopped before?`);
    return found;
  };
  return {
    probe,
    serve: async (options) => {
      const server = await serve(options);
      return { ...keep(server), port: server.port };
    },
    hold: async (options) => keep(await startHold(options)),
    load: async (options) => keep(startLoad(options)),
    state: async ({ id }) => find(id).state(),
    stop: async ({ id }) => {
      const found = find(id);
      running.delete(id);
      return found.stop();
    },
  };
};

/** Handles calls until the parent disconnects or exits. */
export const runAgent = async (): Promise<void> => {
  if (process.send === undefined) throw new Error('an agent talks to the process that started it, and none did');
  const respond = (response: AgentResponse): void => {
    process.send?.(response, () => undefined); // the parent may have exited: `disconnect` reports it
  };
  const handlers = createHandlers();
  const handle = async <N extends CallName>({ sequence, name, params }: AgentRequest<N>): Promise<void> => {
    try {
      respond({ sequence, result: await handlers[name](params) });
    } catch (error) {
      respond({ sequence, error: error instanceof Error ? error.message : String(error) });
    }
  };
  process.on('message', (request) => void handle(request as AgentRequest));
  // Ctrl-C reaches the whole process group: the parent decides when the agent ends
  process.on('SIGINT', () => undefined);
  respond({ sequence: 0, result: null });
  await once(process, 'disconnect');
  process.exit(0);
};
