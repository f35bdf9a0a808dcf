/** The HTTP server on real sockets. */
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Route, type Routes, text } from '../../src/observe/http.ts';
import { RouteServer, type ServerOptions } from '../../src/observe/server.ts';
import { ask, dial, HandClock, occupy, portOf, vacate } from './health-clients.ts';

interface Line {
  readonly level: string;
  readonly fields: unknown;
  readonly message: string;
}

const ROUTES: Routes = new Map<string, Route>([
  ['/plain', () => text(200, 'ok')],
  ['/echo', ({ query, accept }) => text(200, `${query.get('q')} ${accept}`)],
  ['PUT /echo', ({ body }) => text(200, `put ${body}`)],
  ['DELETE /gone', () => text(200, 'deleted')],
  ['/large', () => ({ status: 200, headers: {}, body: Readable.from(['one ', 'two']) })],
  ['/broken', () => Promise.reject(new Error('a bug'))],
  [
    '/thrown',
    () => {
      throw new Error('another');
    },
  ],
]);

const serverOf = (options: Partial<ServerOptions> = {}) => {
  const lines: Line[] = [];
  const say =
    (level: string) =>
    (fields: unknown, message?: string): void => {
      lines.push({ level, fields, message: message ?? '' });
    };
  const clock = new HandClock();
  const log = { debug: say('debug'), info: say('info'), error: say('error') };
  const own = { name: 'test', address: '127.0.0.1:0', routes: ROUTES, hardFail: false, log, clock };
  const server = new RouteServer({ ...own, ...options });
  onTestFinished(() => server.stop());
  const port = (): number => Number(server.address?.split(':').at(-1));
  return { server, clock, lines, port };
};

const started = async (options: Partial<ServerOptions> = {}) => {
  const bench = serverOf(options);
  await bench.server.start();
  return bench;
};

describe('a client that asks before it has read', () => {
  const ASKED = 'GET /page HTTP/1.1\r\nHost: a\r\n\r\n';
  const asking = async (times: number) => {
    let made = 0;
    const page = text(200, 'x'.repeat(1_000));
    const routes = new Map<string, Route>([
      [
        '/page',
        async () => {
          made += 1;
          return page;
        },
      ],
    ]);
    const { port } = await started({ routes });
    const line = await dial(port());
    line.socket.write(ASKED.repeat(times));
    await line.closed;
    return { made, heard: line.text().split('HTTP/1.1 200').length - 1 };
  };

  it('has one answer, whole, and the end of the connection', async () => {
    expect(await asking(3)).toEqual({ made: 1, heard: 1 });
  });

  it('and asks very often, has none', async () => {
    expect(await asking(1_000)).toEqual({ made: 1, heard: 0 });
  });

  it('leaves one answer on each of as many connections as there may be, and no more', async () => {
    const body = 'x'.repeat(2 ** 20);
    let made = 0;
    const routes = new Map<string, Route>([
      [
        '/page',
        () => {
          made += 1;
          return text(200, body);
        },
      ],
    ]);
    const { port } = await started({ routes });
    const lines = await Promise.all(Array.from({ length: 32 }, () => dial(port())));
    for (const { socket } of lines) socket.pause().write(ASKED.repeat(10));
    await vi.waitFor(() => expect(made).toBe(32), { timeout: 4_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(made).toBe(32);
    for (const { socket } of lines) socket.destroy();
  });
});

describe('the server', () => {
  it('answers its routes', async () => {
    const { port } = await started();
    const { status, headers, body } = await ask(port(), { path: '/plain' });
    expect({ status, body }).toEqual({ status: 200, body: 'ok' });
    expect(headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'content-length': '2',
    });
  });

  it('gives a route its query', async () => {
    const { port } = await started();
    expect((await ask(port(), { path: '/echo?q=a%20b' })).body).toBe('a b ');
  });

  it('answers HEAD with the head alone', async () => {
    const { port } = await started();
    const { status, headers, body } = await ask(port(), { path: '/plain', method: 'HEAD' });
    expect([status, headers['content-length'], body]).toEqual([200, '2', '']);
  });

  it('answers another method where a route has it, with what was sent along', async () => {
    const { port } = await started();
    expect((await ask(port(), { path: '/echo?q=1', method: 'PUT', body: 'x' })).body).toBe('put x');
    expect(await ask(port(), { path: '/echo', method: 'PUT', body: 'x'.repeat(1_025) })).toMatchObject({ status: 413 });
    expect((await ask(port(), { path: '/gone', method: 'DELETE' })).body).toBe('deleted');
    const refused = await ask(port(), { path: '/gone' });
    expect([refused.status, refused.headers.allow]).toEqual([405, 'DELETE']);
    const other = await ask(port(), { path: '/echo', method: 'POST' });
    expect([other.status, other.headers.allow]).toEqual([405, 'GET, HEAD, PUT']);
  });

  it('passes on what is too large to be held', async () => {
    const { port } = await started();
    expect(await ask(port(), { path: '/large' })).toMatchObject({ status: 200, body: 'one two' });
    expect((await ask(port(), { path: '/large', method: 'HEAD' })).body).toBe('');
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])('refuses %s', async (method) => {
    const { port } = await started();
    const { status, headers } = await ask(port(), { path: '/plain', method });
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  it.each(['/', '//', '/plain/', '/Plain', '/?/plain', '/../plain', '/%2e'])('has nothing at %s', async (path) => {
    const { port } = await started();
    const { status, body } = await ask(port(), { path });
    expect(status).toBe(404);
    expect(body).toContain('/plain');
  });

  it.each(['/broken', '/thrown'])('survives a fault behind %s, and keeps it to itself', async (path) => {
    const { port, lines } = await started();
    expect(await ask(port(), { path })).toMatchObject({ status: 500, body: 'internal error\n' });
    expect(lines.at(-1)).toMatchObject({ level: 'error', message: 'the test server cannot answer' });
    expect((await ask(port(), { path: '/plain' })).status).toBe(200);
  });

  it('stops with every connection', async () => {
    const { server, port } = await started();
    const was = port();
    const line = await dial(was);
    await server.stop();
    await line.closed;
    await expect(ask(was, { path: '/plain' })).rejects.toThrow('ECONNREFUSED');
    await server.stop();
  });

  it('speaks IPv6 where it is told to', async () => {
    const { server, port } = await started({ address: '[::1]:0' });
    expect(server.address).toBe(`[::1]:${port()}`);
    expect((await ask(port(), { host: '::1', path: '/plain' })).body).toBe('ok');
  });
});

describe('what a client can hold is bounded', () => {
  it('in number: the one that has been silent longest makes room', async () => {
    const { port } = await started({ connections: 2 });
    const [first] = [await dial(port()), await dial(port()), await dial(port())];
    await first?.closed;
    expect((await ask(port(), { path: '/plain' })).status).toBe(200);
  });

  it('in what the kernel keeps for it', async () => {
    const limits: number[] = [];
    await started({ limitSendBuffer: (fd, bytes) => limits.push(...(fd > 2 ? [bytes] : [])) });
    expect(limits).toEqual([131_072]);
  });

  it('in size', async () => {
    const { port } = await started();
    const line = await dial(port());
    line.socket.write(`GET /plain HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(9_000)}\r\n\r\n`);
    await line.closed;
    expect(line.text()).toMatch(/^HTTP\/1.1 431 /);
  });

  it('in time', async () => {
    const { port } = await started({ requestMs: 50 });
    const line = await dial(port());
    line.socket.write('GET /plain HTTP/1.1\r\nHost: x\r\n');
    await line.closed;
    expect(line.text()).toMatch(/^HTTP\/1.1 408 /);
  });
});

describe('an address that is taken', () => {
  it('is tried again every five seconds, and complained of once', async () => {
    const other = await occupy();
    const address = `127.0.0.1:${portOf(other)}`;
    const { server, clock, lines } = await started({ address });
    expect(server.address).toBeUndefined();
    for (let i = 0; i < 3; i += 1) {
      expect(clock.armed).toEqual([5_000]);
      clock.pass(5_000);
      await vi.waitFor(() => expect(clock.armed).toEqual([5_000]));
    }
    expect(lines).toEqual([
      {
        level: 'error',
        fields: { address, error: expect.stringContaining('EADDRINUSE') },
        message: 'the test server cannot listen, trying again every 5 s',
      },
    ]);
    await vacate(other);
    clock.pass(5_000);
    await vi.waitFor(() => expect(server.address).toBe(address));
    expect(lines.at(-1)).toMatchObject({ level: 'info', message: 'the test server listens' });
    expect((await ask(portIn(address), { path: '/plain' })).body).toBe('ok');
  });

  it('is an error where the operator wants it to be', async () => {
    const other = await occupy();
    onTestFinished(() => vacate(other));
    const address = `127.0.0.1:${portOf(other)}`;
    const { server, clock } = serverOf({ address, hardFail: true });
    await expect(server.start()).rejects.toThrow(`the test server cannot listen on ${address}: listen EADDRINUSE`);
    expect(clock.armed).toEqual([]);
  });

  it('is given up when the server is stopped', async () => {
    const other = await occupy();
    onTestFinished(() => vacate(other));
    const { server, clock } = await started({ address: `127.0.0.1:${portOf(other)}` });
    await server.stop();
    expect(clock.armed).toEqual([]);
  });
});

const portIn = (address: string): number => Number(address.split(':').at(-1));
