/**
 * Cluster in a lab: an API server on the lab's network, objects, and proxies on the nodes as real processes.
 *
 * This process reaches the API server over a unix socket, whatever network namespace it is in.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ResultPromise } from 'execa';
import type { LoggedRequest } from './apiserver/exchange.ts';
import type { Fault } from './apiserver/faults.ts';
import type { ObjectInput } from './apiserver/store.ts';
import { packageFile } from './network/entry.ts';
import type { Lab } from './network/lab.ts';
import type { NodeName } from './network/plan.ts';
import { scaled } from './network/time-scale.ts';

const PORT = 6443;
/** NODE_OPTIONS of the container image. */
export const NODE_OPTIONS = ['--max-semi-space-size=4'] as const;
const READY_MS = scaled(20_000);

export interface NodeProxy {
  /** Output so far. */
  log(): string;
  /** Resolves when the log has a matching line. Throws when the process ends without one. */
  waitForLog(pattern: RegExp, timeoutMs?: number): Promise<void>;
  /** Sends a signal and waits for the exit; returns the exit code, -1 for an exit by a signal. */
  stop(signal?: 'SIGTERM' | 'SIGKILL' | 'SIGINT'): Promise<number>;
  readonly pid: number;
  /** Resolves with the exit code when the process exits. */
  readonly ended: Promise<number>;
}

export interface Cluster {
  /** URL for proxies. */
  readonly url: string;
  /** Path of a kubeconfig file for the API server. */
  readonly kubeconfig: string;
  /** Temporary folder; removed with the cluster. */
  readonly folder: string;
  put(objects: readonly ObjectInput[]): Promise<void>;
  delete(objects: readonly ObjectInput[]): Promise<void>;
  inject(fault: Fault): Promise<void>;
  clearFaults(): Promise<void>;
  /** Sends a GET to the API server; resolves with the body. */
  read(path: string): Promise<unknown>;
  requests(): Promise<readonly LoggedRequest[]>;
  /** Starts `pointsman run` on a node with these arguments, kubeconfig and node name. */
  startProxy(node: NodeName, args?: readonly string[], options?: ProxyOptions): NodeProxy;
  /** Stops the API server: connections are closed and refused, and nothing is lost. */
  stopApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
  remove(): Promise<void>;
}

export interface ProxyOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** False: no kubeconfig and node name are added. */
  readonly withKubeconfig?: boolean;
}

export const startCluster = async (lab: Lab): Promise<Cluster> => {
  // named like the namespaces, so that its owner is known after a crash
  const folder = await mkdtemp(join(tmpdir(), `${lab.host('apiserver').namespace}-`));
  try {
    return await startIn(folder, lab);
  } catch (error) {
    await removeFolder(folder);
    throw error;
  }
};

const removeFolder = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true });

const startIn = async (folder: string, lab: Lab): Promise<Cluster> => {
  const address = lab.host('apiserver').ipv4;
  const socketPath = join(folder, 'api.sock');
  const url = `http://${address}:${PORT}`;
  const kubeconfig = join(folder, 'kubeconfig');
  await writeFile(kubeconfig, kubeconfigText(url));
  const server = lab.spawn(
    'apiserver',
    process.execPath,
    [packageFile('dist/lab/process.js'), 'apiserver', JSON.stringify({ host: address, port: PORT, socketPath })],
    { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit', buffer: false },
  );
  await untilItSpeaks(server);
  const tell = async (line: string): Promise<void> => {
    const answered = untilItSpeaks(server);
    server.stdin?.write(`${line}\n`);
    await answered;
  };
  const call = (method: string, path: string, body?: unknown) => callServer(socketPath, method, path, body);
  return {
    url,
    kubeconfig,
    folder,
    put: async (objects) => void (await call('PUT', '/lab/objects', objects)),
    delete: async (objects) => void (await call('DELETE', '/lab/objects', objects)),
    inject: async (fault) => void (await call('POST', '/lab/faults', fault)),
    clearFaults: async () => void (await call('DELETE', '/lab/faults')),
    read: (path) => call('GET', path),
    requests: async () => (await call('GET', '/lab/requests')) as readonly LoggedRequest[],
    startProxy: (node, args = [], { env = {}, withKubeconfig = true } = {}) => {
      const own = withKubeconfig ? [`--kubeconfig=${kubeconfig}`, `--hostname-override=${node}`] : [];
      return startProxy(lab, node, [...args, ...own], env);
    },
    startApiServer: () => tell('start'),
    stopApiServer: () => tell('stop'),
    remove: async () => {
      server.kill('SIGKILL');
      await server;
      await removeFolder(folder);
    },
  };
};

const kubeconfigText = (server: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lab', cluster: { server } }],
    users: [{ name: 'node', user: {} }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'node' } }],
    'current-context': 'lab',
  });

const untilItSpeaks = (server: ResultPromise): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the API server does not come up')), READY_MS);
    server.stdout?.once('data', () => {
      clearTimeout(timer);
      resolve();
    });
    void server.then(() => {
      clearTimeout(timer);
      reject(new Error('the API server has ended'));
    });
  });

const startProxy = (
  lab: Lab,
  node: NodeName,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): NodeProxy => {
  let log = '';
  const waiting = new Set<() => void>();
  // by env(1), as its PATH must not affect the programs around it
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  // a network namespace lacks this sysctl
  const quiet = '--conntrack-max-per-core=0';
  const command = [process.execPath, ...NODE_OPTIONS, packageFile('dist/main.js'), 'run', quiet, ...args];
  const child = lab.spawn(node, 'env', [...variables, ...command], { stdout: 'ignore', stderr: 'pipe', buffer: false });
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString();
    for (const look of waiting) look();
  });
  let isOver = false;
  const ended = child.then(({ exitCode }) => {
    isOver = true;
    for (const look of waiting) look();
    return exitCode ?? -1;
  });
  return {
    pid: child.pid ?? 0,
    log: () => log,
    waitForLog: (pattern, timeoutMs = READY_MS) =>
      new Promise((resolve, reject) => {
        const done = (problem?: string): void => {
          clearTimeout(timer);
          waiting.delete(look);
          if (problem === undefined) resolve();
          else reject(new Error(`the proxy ${problem} ${pattern}; its log:\n${log}`));
        };
        const look = (): void => {
          if (pattern.test(log)) done();
          else if (isOver) done('has ended, and did not say');
        };
        const timer = setTimeout(() => done('did not say'), timeoutMs);
        waiting.add(look);
        look();
      }),
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
    ended,
  };
};

const callServer = (socketPath: string, method: string, path: string, body: unknown): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    // set explicitly: Node.js sends the body of a DELETE without a length otherwise
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const request = httpRequest({ socketPath, method, path, headers, agent: false }, (response) => {
      let answer = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        answer += chunk;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(answer === '' ? 'null' : answer));
        else reject(new Error(`${method} ${path}: ${response.statusCode} ${answer}`));
      });
    });
    request.on('error', reject);
    request.end(text);
  });
