/** The metrics server as the commands wire it: whom the cluster admits gets in, and no page or line of the log tells a secret. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stringify } from 'yaml';
import { Observing } from '../../src/commands/observing.ts';
import { openReviews } from '../../src/commands/reviews.ts';
import { openCluster, type Setup } from '../../src/commands/setup.ts';
import { ApiServer } from '../../src/lab/apiserver/server.ts';
import type { ObjectSink } from '../../src/model/kubernetes.ts';
import { Life } from '../../src/observe/life.ts';
import { loadLine } from '../config/loading.ts';
import { ask, type Reply } from '../observe/health-clients.ts';

const OWN_TOKEN = 'secret-of-the-proxy';
const BEARER = 'secret-of-a-bearer';
const SINK: ObjectSink = { replace: () => undefined, put: () => undefined, remove: () => undefined };

let server: ApiServer;
let dir: string;
let closing: (() => unknown)[];
const lines: string[] = [];

beforeEach(async () => {
  closing = [];
  lines.length = 0;
  dir = await mkdtemp(join(tmpdir(), 'pointsman-access-'));
  const may = [{ verbs: ['get'], nonResourceURLs: ['/status', '/flagz', '/debug/pprof*'] }];
  server = new ApiServer({ token: OWN_TOKEN, users: [{ token: BEARER, name: 'ops', may }] });
  await server.start();
});
afterEach(async () => {
  for (const close of closing.reverse()) await close();
  await server.stop();
  await rm(dir, { recursive: true });
});

const kubeconfig = async (): Promise<string> => {
  const named = (name: string, part: string, value: unknown) => [{ name, [part]: value }];
  const path = join(dir, 'kubeconfig');
  const url = server.url.replace('://', '://secret-user:secret-password@');
  const content = {
    clusters: named('c', 'cluster', { server: url }),
    users: named('u', 'user', { token: OWN_TOKEN, password: 'secret-too' }),
    contexts: named('x', 'context', { cluster: 'c', user: 'u' }),
    'current-context': 'x',
  };
  await writeFile(path, stringify(content));
  return path;
};

/** How a stranger calls: the peer cannot be another than loopback here, but the name he calls by can. */
const STRANGE = { host: '127.0.0.1', headers: { host: '10.250.0.1:10249' } };

const start = async (...args: readonly string[]) => {
  const master = server.url.replace('://', '://secret-user:secret-password@');
  const words = [`--kubeconfig=${await kubeconfig()}`, `--master=${master}`, '--profiling', ...args];
  const { config, flags, warnings } = await loadLine(words);
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
  const own = { metricsBindAddress: '127.0.0.1:0', healthzBindAddress: '' };
  const setup: Setup = { config: { ...config, ...own }, flags, warnings, nodeName: 'node1', log };
  const { source, connection } = await openCluster(setup);
  const reviews = await openReviews(setup, connection);
  const observing = new Observing(setup, new Life(), ['IPv4'], source, undefined, reviews?.authorize);
  await observing.start();
  const stop = new AbortController();
  const running = source.run(SINK, stop.signal);
  closing.push(
    () => connection?.close(),
    () => observing.stop(),
    () => {
      reviews?.stop();
      stop.abort();
      return running;
    },
  );
  const port = Number(observing.addresses[0]?.split(':').at(-1));
  const stranger = (path: string, token?: string): Promise<Reply> =>
    ask(port, {
      ...STRANGE,
      path,
      headers: { ...STRANGE.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    });
  const node = (path: string): Promise<Reply> => ask(port, { path, headers: { host: `localhost:${port}` } });
  return { node, stranger };
};

describe('a stranger at the metrics server', () => {
  it('gets metrics, and with a token what the cluster lets its bearer see', async () => {
    const { stranger, node } = await start();
    expect((await stranger('/metrics')).status).toBe(200);
    for (const path of ['/status', '/configz', '/flagz', '/statusz', '/rules?service=a/b', '/debug/pprof/heap']) {
      expect((await stranger(path)).status, path).toBe(path.endsWith('heap') ? 403 : 401);
    }
    expect((await stranger('/status', BEARER)).status).toBe(200);
    expect((await stranger('/debug/pprof', BEARER)).status).toBe(200);
    expect((await stranger('/debug/pprof/heap', BEARER)).status).toBe(403);
    expect((await stranger('/configz', BEARER)).status).toBe(403);
    expect((await stranger('/status', 'made-up')).status).toBe(401);
    expect((await node('/configz')).status).toBe(200);
  });

  it('gets 503 while the API server is away, and nothing by the proxy’s own word', async () => {
    const { stranger } = await start();
    await server.stop();
    expect((await stranger('/status', BEARER)).status).toBe(503);
  });

  it('gets nothing by any token with --metrics-authorization=local, and is not asked about', async () => {
    const { stranger, node } = await start('--metrics-authorization=local');
    expect((await stranger('/status', BEARER)).status).toBe(403);
    expect((await stranger('/metrics')).status).toBe(200);
    expect((await node('/status')).status).toBe(200);
    expect(server.requests.filter(({ method }) => method === 'POST')).toEqual([]);
  });

  it('needs a token for metrics too with --metrics-authorization=strict', async () => {
    const { stranger, node } = await start('--metrics-authorization=strict');
    expect((await stranger('/metrics')).status).toBe(401);
    expect((await stranger('/metrics', BEARER)).status).toBe(403);
    expect((await stranger('/healthz')).status).toBe(200);
    expect((await node('/metrics')).status).toBe(200);
  });
});

describe('no secret', () => {
  it('is on a page or in the log, also when things go wrong', async () => {
    const { node, stranger } = await start('-v=9');
    await vi.waitFor(() => expect(server.openWatches).toBeGreaterThan(0));
    await stranger('/status', BEARER);
    await stranger('/flagz', BEARER);
    server.token = 'another';
    server.inject({ fault: 'end-watches', abrupt: true });
    await stranger('/status?x', `${BEARER}-2`);
    await vi.waitFor(() => expect(lines.join('')).toContain('Unauthorized'));
    const paths = ['/metrics', '/metrics/slis', '/status', '/status?format=text', '/configz', '/flagz', '/statusz'];
    const pages = await Promise.all(paths.map(node));
    expect(pages.map(({ status }) => status)).toEqual(paths.map(() => 200));
    expect(pages.find(({ body }) => body.includes('master=http://127.0.0.1'))).toBeDefined();
    const told = [...pages.map(({ body }) => body), ...lines].join('\n');
    expect(told).toContain(server.url);
    expect(told.match(/.*secret.*/g) ?? []).toEqual([]);
  });
});
