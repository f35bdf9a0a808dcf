/** What a server keeps for clients that ask and do not read, on real sockets. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Held } from '../../src/observe/held.ts';
import type { Route, Routes } from '../../src/observe/http.ts';
import { metricsRoutes } from '../../src/observe/metrics-routes.ts';
import type { SendLimits } from '../../src/observe/sending.ts';
import { RouteServer } from '../../src/observe/server.ts';
import { Slis } from '../../src/observe/slis.ts';
import { ask, dial, type Line } from './health-clients.ts';

const MIB = 2 ** 20;
const READERS = 128;
/** What a connection may hold of a page: the piece that is being sent, and the head. */
const PER_CONNECTION = 65_536 + 1_024;
/** More than a socket's buffers take. */
const PAGE_BYTES = 8 * MIB;
const ASKED = 'GET /page HTTP/1.1\r\nHost: a\r\n\r\n';
const LOG = { debug: () => undefined, info: () => undefined, error: () => undefined };

/** The sockets of all servers from here on, as the server has them. */
const serverSockets = (): readonly Socket[] => {
  const sockets: Socket[] = [];
  const listen = (message: unknown): void => {
    sockets.push((message as { readonly socket: Socket }).socket);
  };
  subscribe('net.server.socket', listen);
  onTestFinished(() => {
    unsubscribe('net.server.socket', listen);
  });
  return sockets;
};

const serve = async (routes: Routes, sending: Partial<SendLimits> = {}) => {
  const server = new RouteServer({ name: 'test', address: '127.0.0.1:0', routes, hardFail: true, log: LOG, sending });
  await server.start();
  onTestFinished(() => server.stop());
  return Number(server.address?.split(':').at(-1));
};

/** `made` counts; `slow` pages are in the making until `finish` is called. */
const metricsPage = (bytes: number, held: Held, { slow = false } = {}) => {
  let made = 0;
  const waiting: (() => void)[] = [];
  const exposition = async (): Promise<string> => {
    made += 1;
    if (slow) await new Promise<void>((resolve) => waiting.push(resolve));
    return 'x'.repeat(bytes);
  };
  const pages = metricsRoutes({
    metrics: { contentType: 'text/plain', exposition },
    life: { exposition: async () => '' },
    slis: new Slis(),
    rules: () => [],
    mode: 'ipvs',
    configuration: {},
    status: () => ({ version: '1', mode: 'ipvs', node: 'n', waitingFor: undefined, missing: [], families: [] }),
    isHeld: (body) => held.has(body),
  });
  const page = pages.get('/metrics');
  if (page === undefined) throw new Error('no such page');
  return {
    routes: new Map<string, Route>([['/page', page]]),
    made: () => made,
    finish: () => {
      for (const finish of waiting) finish();
    },
  };
};

/** They ask, and read nothing. */
const readers = async (port: number, count = READERS): Promise<readonly Line[]> => {
  const lines = await Promise.all(Array.from({ length: count }, () => dial(port)));
  onTestFinished(() => {
    for (const { socket } of lines) socket.destroy();
  });
  for (const { socket } of lines) socket.pause().write(ASKED);
  return lines;
};

const waitingBytes = (sockets: readonly Socket[]): number =>
  sockets.reduce((sum, { writableLength }) => sum + writableLength, 0);

describe('a page of metrics', () => {
  it('is made once for all who ask at the same time', async () => {
    const held = new Held(PAGE_BYTES);
    const { routes, made, finish } = metricsPage(1_000, held, { slow: true });
    const port = await serve(routes, { held });
    const asked = Array.from({ length: 20 }, () => ask(port, { path: '/page' }));
    await vi.waitFor(() => expect(made()).toBe(1));
    await sleep(100);
    finish();
    expect((await Promise.all(asked)).map(({ body }) => body.length)).toEqual(Array.from(asked, () => 1_000));
    expect(made()).toBe(1);
  });

  it('is made anew for who asks when nobody reads one', async () => {
    const held = new Held(PAGE_BYTES);
    const { routes, made } = metricsPage(100_000, held);
    const port = await serve(routes, { held });
    expect((await ask(port, { path: '/page' })).body.length).toBe(100_000);
    await sleep(1_000);
    expect((await ask(port, { path: '/page' })).body.length).toBe(100_000);
    expect([made(), held.bytes]).toEqual([2, 0]);
  });

  it(`is kept once for ${READERS} readers that read nothing, however soon after each other they come`, async () => {
    const held = new Held(4 * PAGE_BYTES);
    const { routes, made } = metricsPage(PAGE_BYTES, held);
    const sockets = serverSockets();
    const port = await serve(routes, { held });
    await readers(port);
    await vi.waitFor(() => expect(sockets.filter(({ writableLength }) => writableLength > 0)).toHaveLength(READERS), {
      timeout: 20_000,
    });
    // as many as there are seconds in which they came
    expect(held.bytes).toBe(made() * PAGE_BYTES);
    expect(held.bytes).toBeLessThanOrEqual(4 * PAGE_BYTES);
    expect(waitingBytes(sockets)).toBeLessThanOrEqual(READERS * PER_CONNECTION);
  });
});

describe('clients that do not read', () => {
  /** Each answer is another body. */
  const ROUTES: Routes = new Map<string, Route>([
    ['/page', () => ({ status: 200, headers: {}, body: 'x'.repeat(PAGE_BYTES) })],
    ['/small', () => ({ status: 200, headers: {}, body: 'ok' })],
  ]);

  it('are refused what there is no room for; small pages are for all', async () => {
    const held = new Held(4 * PAGE_BYTES);
    const sockets = serverSockets();
    const port = await serve(ROUTES, { held });
    const lines = await readers(port, READERS - 1);
    await vi.waitFor(() => expect(sockets.filter(({ bytesWritten }) => bytesWritten > 0)).toHaveLength(READERS - 1), {
      timeout: 20_000,
    });
    expect(held.bytes).toBe(4 * PAGE_BYTES);
    expect(waitingBytes(sockets)).toBeLessThanOrEqual(4 * PER_CONNECTION);
    for (const { socket } of lines) socket.resume();
    await vi.waitFor(() => expect(lines.filter((line) => line.text().startsWith('HTTP/1.1 503'))).toHaveLength(123));
    expect(await ask(port, { path: '/small' })).toMatchObject({ status: 200, body: 'ok' });
    const refused = lines.find((line) => line.text().startsWith('HTTP/1.1 503'));
    expect(refused?.text()).toMatch(/Retry-After: 10[\s\S]*too much is kept for clients that have not read it yet/);
    // they read now: what was kept is free again
    await vi.waitFor(() => expect(held.bytes).toBe(0), { timeout: 10_000 });
    expect(await ask(port, { path: '/page' })).toMatchObject({ status: 200 });
  });

  it('get a page that is larger than the bound all the same, one at a time', async () => {
    const held = new Held(1_000);
    const port = await serve(ROUTES, { held });
    const [line] = await readers(port, 1);
    await vi.waitFor(() => expect(held.bytes).toBe(PAGE_BYTES));
    expect(await ask(port, { path: '/page' })).toMatchObject({ status: 503 });
    line?.socket.destroy();
    await vi.waitFor(() => expect(held.bytes).toBe(0));
    expect((await ask(port, { path: '/page' })).body.length).toBe(PAGE_BYTES);
  });

  it('are cut off when they stall', async () => {
    const held = new Held(PAGE_BYTES);
    const sockets = serverSockets();
    const port = await serve(ROUTES, { held, stallMs: 200 });
    await readers(port, 1);
    await vi.waitFor(() => expect(held.bytes).toBe(PAGE_BYTES));
    await vi.waitFor(() => expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true]), { timeout: 5_000 });
    expect(held.bytes).toBe(0);
  });

  it('and are not while they read something now and then, but for a while only', async () => {
    const held = new Held(PAGE_BYTES);
    const sockets = serverSockets();
    const port = await serve(ROUTES, { held, stallMs: 2_000, wholeMs: 4_000 });
    const [line] = await readers(port, 1);
    const startedAt = performance.now();
    while (sockets[0]?.destroyed !== true && performance.now() - startedAt < 10_000) {
      line?.socket.once('data', () => line.socket.pause()).resume();
      await sleep(100);
    }
    const took = performance.now() - startedAt;
    expect(took).toBeGreaterThan(3_000);
    expect(took).toBeLessThan(8_000);
    expect(held.bytes).toBe(0);
  });

  it('do not take from others the time between two requests', async () => {
    const port = await serve(ROUTES, { stallMs: 100 });
    const line = await dial(port);
    const small = 'GET /small HTTP/1.1\r\nHost: a\r\n\r\n';
    line.socket.write(small);
    await vi.waitFor(() => expect(line.text()).toContain('ok'));
    await sleep(400);
    line.socket.write(small);
    await vi.waitFor(() => expect(line.text().split('HTTP/1.1 200')).toHaveLength(3));
    line.socket.destroy();
  });
});
