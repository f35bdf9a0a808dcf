/** What clients that mean no good can hold of a health-check port: bounded in time, in size and in number. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type HealthCheckLimits, HealthCheckServers } from '../../src/observe/health-checks.ts';
import { changes, dial, freePorts, heard, type Line } from './health-clients.ts';

const running: HealthCheckServers[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((servers) => servers.stop()));
});

const listening = async (limits: Partial<HealthCheckLimits>, count = 1): Promise<readonly number[]> => {
  const ports = await freePorts(count);
  const servers = new HealthCheckServers('IPv4', { isHealthy: () => true, isServed: () => true, limits });
  running.push(servers);
  servers.update(changes(Object.fromEntries(ports.map((port, i) => [`ns/s${i}`, [port, 1]]))), ['127.0.0.1']);
  for (const port of ports) await vi.waitFor(async () => expect(await heard(port)).toBe('200 1'));
  return ports;
};

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

const answered = (line: Line, times = 1): Promise<void> =>
  vi.waitFor(() => expect(line.text().split('"localEndpoints": 1').length - 1).toBe(times));

describe('a client is cut off', () => {
  it('that never asks', async () => {
    const [port = 0] = await listening({ requestMs: 100 });
    const line = await dial(port);
    await line.closed;
  });

  it('that asks for ever', async () => {
    const [port = 0] = await listening({ requestMs: 100 });
    const line = await dial(port);
    line.socket.on('error', () => {}); // it writes on when it is closed
    line.socket.write('GET / HTTP/1.1\r\n');
    const drip = setInterval(() => line.socket.write('a: b\r\n'), 10);
    await line.closed;
    clearInterval(drip);
    expect(line.text()).toMatch(/^(HTTP\/1\.1 408 |$)/);
  });

  it('that sends a body for ever', async () => {
    const [port = 0] = await listening({ requestMs: 100 });
    const line = await dial(port);
    line.socket.on('error', () => {});
    line.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
    const drip = setInterval(() => line.socket.write('a'), 10);
    await line.closed;
    clearInterval(drip);
    expect(line.text()).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('whose header is too long', async () => {
    const [port = 0] = await listening({});
    const line = await dial(port);
    line.socket.on('error', () => {});
    line.socket.write(`GET / HTTP/1.1\r\nHost: a\r\na: ${'b'.repeat(12_000)}\r\n\r\n`);
    await line.closed;
    expect(line.text()).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('that speaks something else', async () => {
    const [port = 0] = await listening({});
    const line = await dial(port);
    line.socket.write('\u0016\u0003\u0001 hello\r\n\r\n');
    await line.closed;
    expect(await heard(port)).toBe('200 1');
  });

  it('that asks and never listens', async () => {
    const [port = 0] = await listening({ requestMs: 200, idleMs: 200 });
    const line = await dial(port);
    line.socket.on('error', () => {});
    line.socket.pause();
    const flood = setInterval(() => line.socket.write(GET.repeat(2_000)), 5);
    await vi.waitFor(() => expect(line.socket.destroyed || line.socket.errored !== null).toBe(true), {
      timeout: 10_000,
    });
    clearInterval(flood);
    expect(await heard(port)).toBe('200 1');
  }, 15_000);

  it('that falls silent, but not between two probes', async () => {
    const [port = 0] = await listening({ idleMs: 300 });
    const line = await dial(port);
    for (let i = 1; i <= 3; i += 1) {
      line.socket.write(GET);
      await answered(line, i);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(line.socket.closed).toBe(false);
    await line.closed;
  });
});

describe('many connections', () => {
  it('make room for new ones, on all ports together: who was silent longest goes', async () => {
    const [port = 0, other = 0] = await listening({ connections: 3 }, 2);
    const [first, second, third] = [await dial(port), await dial(other), await dial(port)];
    for (const line of [first, second, third, first]) {
      const before = line.text().split('"localEndpoints": 1').length - 1;
      line.socket.write(GET);
      await answered(line, before + 1);
    }
    const fourth = await dial(other);
    await second.closed;
    fourth.socket.write(GET);
    first.socket.write(GET);
    await Promise.all([answered(fourth), answered(first, 3)]);
    expect(third.socket.closed).toBe(false);
  });

  it('of silent clients do not keep a balancer from its answer', async () => {
    const [port = 0] = await listening({ connections: 5 });
    const silent = await Promise.all(Array.from({ length: 40 }, () => dial(port)));
    expect(await heard(port)).toBe('200 1');
    await Promise.all(silent.slice(0, 30).map(({ closed }) => closed));
  });
});
