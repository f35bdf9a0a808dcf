/**
 * Lab: nodes, pods and pod networks made of network namespaces, with an agent in each namespace on request.
 *
 * A lab is created as a whole or not at all, and is removed without residue when its process ends in whatever way.
 * Nothing of it is in the machine's own namespace. Services and proxies are not known here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { execa, type Options, type ResultPromise } from 'execa';
import { type Agent, startAgent } from './agent/client.ts';
import { removeNamespaces } from './cleaning.ts';
import { processEntry } from './entry.ts';
import { startGuard } from './guard.ts';
import { newPrefix } from './names.ts';
import { type HostName, type LabHost, type Plan, type PlanOptions, planNetwork } from './plan.ts';
import { scaled } from './time-scale.ts';
import { bridgePortStates, ipBatch, toolEnvironment } from './tools.ts';

export interface LabOptions extends PlanOptions {
  readonly signal?: AbortSignal;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** Whether a failure throws; false returns it as a result. */
  readonly reject?: boolean;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit code; -1 after a signal. */
  readonly exitCode: number;
}

export interface Lab {
  readonly hosts: readonly LabHost[];
  /** Names of all namespaces, including the switch's. */
  readonly namespaces: readonly string[];
  /** Host by name. Throws when there is none. */
  host(name: HostName): LabHost;
  /** Runs a program on a host until it exits. */
  run(host: HostName | 'switch', command: string, args?: readonly string[], options?: RunOptions): Promise<RunResult>;
  /**
   * Starts a program on a host; it is killed when the lab is removed. Its promise reports a failure and never rejects.
   */
  spawn(host: HostName | 'switch', command: string, args?: readonly string[], options?: Options): ResultPromise;
  /** Agent on a host, started by the first call. */
  agent(host: HostName): Promise<Agent>;
  /** Ends all processes and removes the lab. A second call waits for the first. */
  remove(): Promise<void>;
}

const RUN_DEADLINE_MS = scaled(60_000);
const LINKS_DEADLINE_MS = scaled(30_000);
const LINKS_PAUSE_MS = 5;

const namespacesOf = (plan: Plan): readonly string[] => [plan.switch, ...plan.hosts.map(({ namespace }) => namespace)];

/** Waits until all bridge ports forward, which takes a moment after a link is up; packets are dropped before. */
const waitForLinks = async (plan: Plan, signal: AbortSignal | undefined): Promise<void> => {
  const deadline = Date.now() + LINKS_DEADLINE_MS;
  const isUp = async (namespace: string): Promise<boolean> =>
    (await bridgePortStates(namespace, signal)).every((state) => state === 'forwarding');
  for (const namespace of plan.cables.keys()) {
    while (!(await isUp(namespace))) {
      if (Date.now() > deadline) throw new Error(`the bridge in ${namespace} does not forward`);
      await sleep(LINKS_PAUSE_MS, undefined, { ...(signal === undefined ? {} : { signal }) });
    }
  }
};

const build = async (plan: Plan, signal: AbortSignal | undefined): Promise<void> => {
  const inEach = (commands: ReadonlyMap<string, readonly string[]>): Promise<unknown> =>
    allSettledOrThrow([...commands].map(([namespace, lines]) => ipBatch(lines, { namespace, signal })));
  signal?.throwIfAborted();
  await ipBatch(plan.namespaces, { signal });
  await inEach(plan.cables);
  await inEach(plan.addresses);
  await waitForLinks(plan, signal);
};

/** Throws the first failure after all promises have settled: unfinished steps could undo a clean-up. */
const allSettledOrThrow = async (promises: readonly Promise<unknown>[]): Promise<void> => {
  const failed = (await Promise.allSettled(promises)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
};

/** Creates a lab. On failure or abort nothing of it is left. */
export const createNetwork = async (options: LabOptions = {}): Promise<Lab> => {
  const prefix = newPrefix();
  const plan = planNetwork(prefix, options);
  const namespaces = namespacesOf(plan);
  const guard = startGuard(prefix);
  const takeDown = async (): Promise<void> => {
    await removeNamespaces(namespaces);
    await guard.dismiss(); // not reached when something is left: the guard tries again when this process ends
  };
  try {
    await build(plan, options.signal);
  } catch (error) {
    await takeDown().catch((left) => {
      throw new AggregateError([error, left], 'the lab could neither be built nor taken down');
    });
    throw error;
  }
  return new BuiltLab(plan, takeDown);
};

class BuiltLab implements Lab {
  readonly hosts: readonly LabHost[];
  readonly namespaces: readonly string[];
  readonly #plan: Plan;
  readonly #takeDown: () => Promise<void>;
  readonly #agents = new Map<HostName, Promise<Agent>>();
  readonly #spawned = new Set<ResultPromise>();
  readonly #ending = new AbortController();
  #removed: Promise<void> | undefined;

  constructor(plan: Plan, takeDown: () => Promise<void>) {
    this.#plan = plan;
    this.#takeDown = takeDown;
    this.hosts = plan.hosts;
    this.namespaces = namespacesOf(plan);
  }

  host(name: HostName): LabHost {
    const found = this.hosts.find((host) => host.name === name);
    if (found === undefined)
      throw new Error(`the lab has no ${name}, only ${this.hosts.map((h) => h.name).join(', ')}`);
    return found;
  }

  async run(
    host: HostName | 'switch',
    command: string,
    args: readonly string[] = [],
    options: RunOptions = {},
  ): Promise<RunResult> {
    const { input, env, signal, timeoutMs = RUN_DEADLINE_MS, reject = true } = options;
    const { stdout, stderr, exitCode } = await execa('ip', this.#exec(host, command, args), {
      ...(input === undefined ? { stdin: 'ignore' } : { input }),
      cancelSignal: signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]),
      env: { ...toolEnvironment(), ...env },
      timeout: timeoutMs,
      reject,
    });
    return { stdout: stdout ?? '', stderr: stderr ?? '', exitCode: exitCode ?? -1 };
  }

  spawn(
    host: HostName | 'switch',
    command: string,
    args: readonly string[] = [],
    options: Options = {},
  ): ResultPromise {
    const started = execa('ip', this.#exec(host, command, args), {
      stdin: 'ignore',
      ...options,
      env: { ...toolEnvironment(), ...options.env },
      reject: false,
    }) as ResultPromise;
    this.#spawned.add(started);
    void started.then(() => this.#spawned.delete(started));
    return started;
  }

  agent(host: HostName): Promise<Agent> {
    this.#refuseWhenRemoved();
    const known = this.#agents.get(host);
    if (known !== undefined) return known;
    const started = startAgent(this.host(host).namespace, processEntry());
    this.#agents.set(host, started);
    started.catch(() => this.#agents.delete(host)); // the next call retries
    return started;
  }

  remove(): Promise<void> {
    this.#removed ??= this.#end();
    return this.#removed;
  }

  /** Kills started programs one by one first: one may not have entered its namespace yet, where it would be found. */
  async #end(): Promise<void> {
    this.#ending.abort(new Error('the lab is being removed'));
    for (const started of this.#spawned) started.kill('SIGKILL');
    const agents = await Promise.allSettled(this.#agents.values());
    await Promise.all(agents.map((agent) => agent.status === 'fulfilled' && agent.value.close()));
    await this.#takeDown();
    await Promise.all(this.#spawned);
  }

  #exec(host: HostName | 'switch', command: string, args: readonly string[]): readonly string[] {
    this.#refuseWhenRemoved();
    const namespace = host === 'switch' ? this.#plan.switch : this.host(host).namespace;
    return ['netns', 'exec', namespace, command, ...args];
  }

  #refuseWhenRemoved(): void {
    if (this.#removed !== undefined) throw new Error('the lab has been removed');
  }
}
