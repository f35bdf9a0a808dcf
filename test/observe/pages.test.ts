/** The pages of the metrics server that are for people and for kube-proxy's tools, on real sockets. */
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { flagzRoute, statuszRoute } from '../../src/observe/debug-pages.ts';
import type { Routes } from '../../src/observe/http.ts';
import { metricsRoutes } from '../../src/observe/metrics-routes.ts';
import { profilingRoutes } from '../../src/observe/profiling.ts';
import { RouteServer } from '../../src/observe/server.ts';
import { Slis } from '../../src/observe/slis.ts';
import { faults, parseExposition } from './exposition.ts';
import { type Asking, ask, dial } from './health-clients.ts';

const serve = async (routes: Routes) => {
  const log = { debug: () => undefined, info: () => undefined, error: () => undefined };
  const server = new RouteServer({ name: 'metrics', address: '127.0.0.1:0', routes, hardFail: true, log });
  await server.start();
  onTestFinished(() => server.stop());
  const port = Number(server.address?.split(':').at(-1));
  return Object.assign((path: string, asking: Asking = {}) => ask(port, { ...asking, path }), { port });
};

const pages = async () => {
  const slis = new Slis();
  const exposing = (text: string) => ({ contentType: 'text/plain', exposition: async () => text });
  const routes = metricsRoutes({
    metrics: exposing('a 1\n'),
    life: exposing('b 2\n'),
    slis,
    rules: () => [],
    isHeld: () => false,
    mode: 'ipvs',
    configuration: {},
    status: () => ({ version: '1', mode: 'ipvs', node: 'n', waitingFor: undefined, missing: [], families: [] }),
  });
  return { slis, get: await serve(routes) };
};

describe('/metrics', () => {
  it('shows what is of this configuration and what is of the process', async () => {
    const { get } = await pages();
    expect((await get('/metrics')).body).toBe('a 1\nb 2\n');
  });
});

describe('/metrics/slis', () => {
  it('counts checks by how they turned out', async () => {
    const { slis, get } = await pages();
    slis.checked('healthz', 'sync-ipv4', true);
    slis.checked('healthz', 'sync-ipv4', false);
    slis.checked('livez', 'sync-ipv4', true);
    await get('/healthz');
    await get('/healthz/ping');
    const { body } = await get('/metrics/slis');
    expect(faults(parseExposition(body))).toEqual([]);
    for (const line of [
      'kubernetes_healthcheck{name="sync-ipv4",type="healthz"} 0',
      'kubernetes_healthcheck{name="sync-ipv4",type="livez"} 1',
      'kubernetes_healthcheck{name="ping",type="healthz"} 1',
      'kubernetes_healthchecks_total{name="sync-ipv4",type="healthz",status="success"} 1',
      'kubernetes_healthchecks_total{name="sync-ipv4",type="healthz",status="error"} 1',
      'kubernetes_healthchecks_total{name="ping",type="healthz",status="success"} 2',
    ]) {
      expect(body.split('\n')).toContain(line);
    }
  });

  it('forgets when it is told to', async () => {
    const { slis, get } = await pages();
    slis.checked('healthz', 'ping', true);
    expect((await get('/metrics/slis', { method: 'DELETE' })).status).toBe(200);
    expect((await get('/metrics/slis')).body).not.toContain('ping');
  });
});

describe('/healthz', () => {
  it.each([
    ['/healthz', 'ok'],
    ['/healthz/ping', 'ok'],
    ['/healthz?verbose', '[+]ping ok\nhealthz check passed\n'],
    ['/healthz?verbose&exclude=ping', '[+]ping excluded: ok\nhealthz check passed\n'],
    [
      '/healthz?verbose=1&exclude=etcd',
      '[+]ping ok\nwarn: there is no check to exclude that is named "etcd"\nhealthz check passed\n',
    ],
  ])('%s', async (path, body) => {
    expect(await (await pages()).get(path)).toMatchObject({ status: 200, body });
  });
});

describe('pages for people', () => {
  it('flags, as they would be given', async () => {
    const flags = [
      { name: 'a', value: '1' },
      { name: 'b', value: '' },
    ];
    const get = await serve(new Map([['/flagz', flagzRoute(flags)]]));
    const { body, headers } = await get('/flagz');
    expect(headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(body).toMatch(/^pointsman flagz\n.*\n\na=1\nb=\n$/);
  });

  it('what runs since when', async () => {
    const startedAt = Date.parse('2026-01-01T00:00:00Z');
    const running = { version: '1.2.3', mode: 'nftables', startedAt, configuredAt: startedAt + 5_000 };
    const paths = () => ['/metrics', '/metrics/slis', '/debug/pprof', '/configz'];
    const now = () => startedAt + (26 * 60 + 3) * 60_000 + 4_999;
    const { body } = await (await serve(new Map([['/statusz', statuszRoute({ ...running, paths, now })]])))('/statusz');
    expect(body).toContain(
      [
        'Started: 2026-01-01T00:00:00.000Z',
        'Up: 26 h 3 min 4 s',
        'Configuration in force since: 2026-01-01T00:00:05.000Z',
        'Version: 1.2.3',
        `Node.js: ${process.version} ${process.platform}/${process.arch}`,
        'Proxy mode: nftables',
        'Paths: /configz /debug /metrics',
      ].join('\n'),
    );
  });
});

describe('profiling', () => {
  const start = async () => {
    const log = { level: 'info', info: vi.fn() };
    const get = await serve(profilingRoutes(log));
    return { log, get, port: get.port };
  };

  it('makes a CPU profile that shows what ran', async () => {
    const { get } = await start();
    const asked = get('/debug/pprof/profile?seconds=0.3');
    const spin = (until: number): void => {
      while (Date.now() < until);
    };
    await new Promise((resolve) => setTimeout(resolve, 50));
    spin(Date.now() + 100);
    const { status, body, headers } = await asked;
    expect([status, headers['content-type']]).toEqual([200, 'application/json']);
    const { nodes } = JSON.parse(body) as { nodes: readonly { callFrame: { functionName: string } }[] };
    expect(nodes.map(({ callFrame }) => callFrame.functionName)).toContain('spin');
  });

  it('makes one at a time, and none that lasts', async () => {
    const { get } = await start();
    const first = get('/debug/pprof/profile?seconds=0.3');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await get('/debug/pprof/profile?seconds=0.1')).status).toBe(503);
    expect((await first).status).toBe(200);
    expect((await get('/debug/pprof/profile?seconds=0.1')).status).toBe(200);
    for (const seconds of ['0', '-1', '61', 'x', '']) {
      expect(await get(`/debug/pprof/profile?seconds=${seconds}`)).toMatchObject({
        status: 400,
        body: `seconds: expected a number above 0, at most 60, got "${seconds}"\n`,
      });
    }
  });

  it('shows what is in memory', async () => {
    const { body } = await (await start()).get('/debug/pprof/heap');
    expect(JSON.parse(body)).toMatchObject({ snapshot: { node_count: expect.any(Number) } });
  }, 60_000);

  it('gives a snapshot to one at a time, until he has it or is gone: it stays in memory meanwhile', async () => {
    const { port, get } = await start();
    const holder = await dial(port);
    holder.socket.pause().write('GET /debug/pprof/heap HTTP/1.1\r\nHost: a\r\n\r\n');
    await vi.waitFor(() => expect(holder.socket.bytesRead).toBeGreaterThan(0), { timeout: 30_000 });
    for (const path of ['/debug/pprof/heap', '/debug/pprof/profile?seconds=0.1']) {
      expect(await get(path)).toMatchObject({ status: 503, body: 'another profile is being made\n' });
    }
    holder.socket.destroy();
    await vi.waitFor(async () => expect((await get('/debug/pprof/profile?seconds=0.1')).status).toBe(200));
  }, 60_000);

  it('sets the verbosity', async () => {
    const { log, get } = await start();
    const put = (body: string) => get('/debug/flags/v', { method: 'PUT', body });
    for (const [verbosity, level] of [
      ['2', 'debug'],
      ['5', 'trace'],
      ['0\n', 'info'],
    ] as const) {
      expect((await put(verbosity)).status).toBe(200);
      expect(log.level).toBe(level);
    }
    expect(await put('much')).toMatchObject({ status: 400, body: 'expected a verbosity such as 4, got "much"\n' });
    expect(log.level).toBe('info');
    expect((await get('/debug/flags/v')).status).toBe(405);
  });

  it('says what there is', async () => {
    const { get } = await start();
    for (const path of ['/debug/pprof', '/debug/pprof/']) {
      expect((await get(path)).body).toMatch(/^\/debug\/pprof\/profile\?seconds=N .*\n\/debug\/pprof\/heap /);
    }
  });
});
