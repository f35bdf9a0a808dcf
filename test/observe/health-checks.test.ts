import { Agent } from 'node:http';
import { describe, expect, it, vi } from 'vitest';
import { body, eventually, LOCAL, REFUSED, start } from './health-bench.ts';
import { ask, changes, dial, freePorts, heard } from './health-clients.ts';

describe('the answer', () => {
  const answers = async (localEndpoints: number, isHealthy = true) => {
    const [port = 0] = await freePorts(1);
    const { servers } = start('IPv4', { isHealthy: () => isHealthy });
    servers.update(changes({ 'ns/web': [port, localEndpoints] }), LOCAL);
    return vi.waitFor(() => ask(port));
  };

  it('of a Service without a local endpoint is 503 (E8)', async () => {
    const { status, headers, body: text } = await answers(0);
    expect(status).toBe(503);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': '0',
    });
    expect(text).toBe(body('web', 0, true));
  });

  it('of one with 18 is 200 and says so (E9)', async () => {
    const { status, headers, body: text } = await answers(18);
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'x-content-type-options': 'nosniff',
      'x-load-balancing-endpoint-weight': '18',
      'content-length': String(body('web', 18, true).length),
    });
    expect(text).toBe(body('web', 18, true));
  });

  it('of a proxy that is not healthy is 503, whatever endpoints there are (E12)', async () => {
    const { status, headers, body: text } = await answers(3, false);
    expect(status).toBe(503);
    expect(headers['x-load-balancing-endpoint-weight']).toBe('3');
    expect(text).toBe(body('web', 3, false));
  });

  it('follows the health of the proxy from request to request', async () => {
    const [port = 0] = await freePorts(1);
    let isHealthy = true;
    const { servers } = start('IPv4', { isHealthy: () => isHealthy });
    servers.update(changes({ 'ns/web': [port, 1] }), LOCAL);
    await eventually(port, '200 1');
    isHealthy = false;
    expect(await heard(port)).toBe('503 1');
    isHealthy = true;
    expect(await heard(port)).toBe('200 1');
  });

  it('is 503 and no endpoint while none of the ports is in the kernel, and as before once one is', async () => {
    const [port = 0, other = 0] = await freePorts(2);
    const aside = new Set<string>();
    const { servers } = start('IPv4', { isServed: (owner) => !aside.has(owner) });
    servers.update(changes({ 'ns/web': [port, 3], 'ns/other': [other, 2] }), LOCAL);
    await eventually(port, '200 3');
    aside.add('ns/web:p/TCP');
    expect(await heard(port)).toBe('200 3');
    aside.add('ns/web:q/UDP');
    expect(await heard(port)).toBe('503 0');
    expect(await ask(port)).toMatchObject({ status: 503, body: body('web', 0, true) });
    await eventually(other, '200 2');
    aside.delete('ns/web:p/TCP');
    expect(await heard(port)).toBe('200 3');
  });

  it('is the same to any path and any method, and HEAD gets no body', async () => {
    const [port = 0] = await freePorts(1);
    start().servers.update(changes({ 'ns/web': [port, 2] }), LOCAL);
    await eventually(port, '200 2');
    for (const path of ['/', '/healthz', '/a/b?c=d', '//']) {
      expect(await ask(port, { path })).toMatchObject({ status: 200, body: body('web', 2, true) });
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      expect(await ask(port, { method })).toMatchObject({ status: 200, body: body('web', 2, true) });
    }
    const head = await ask(port, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, body: '' });
    expect(head.headers).toMatchObject({
      'x-load-balancing-endpoint-weight': '2',
      'content-length': String(body('web', 2, true).length),
    });
  });

  it('goes also to who speaks HTTP/1.0', async () => {
    const [port = 0] = await freePorts(1);
    start().servers.update(changes({ 'ns/web': [port, 2] }), LOCAL);
    await eventually(port, '200 2');
    const line = await dial(port);
    line.socket.write('GET / HTTP/1.0\r\n\r\n');
    await line.closed;
    expect(line.text()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(line.text()).toContain('\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n');
  });
});

describe('an update', () => {
  it('opens, keeps, moves and closes (E11)', async () => {
    const [gone = 0, kept = 0, from = 0, to = 0, added = 0] = await freePorts(5);
    const { servers, problems } = start();
    servers.update(changes({ 'ns/gone': [gone, 1], 'ns/kept': [kept, 2], 'ns/moved': [from, 3] }), LOCAL);
    await eventually(gone, '200 1');
    await eventually(kept, '200 2');
    await eventually(from, '200 3');
    servers.update(changes({ 'ns/gone': undefined, 'ns/moved': [to, 0], 'ns/added': [added, 0] }), LOCAL);
    await eventually(to, '503 0');
    await eventually(added, '503 0');
    expect(await heard(gone)).toBe(REFUSED);
    expect(await heard(kept)).toBe('200 2');
    expect(await heard(from)).toBe(REFUSED);
    expect(problems).toEqual([]);
  });

  it('that changes a count changes the answer on the connections that are open', async () => {
    const [port = 0] = await freePorts(1);
    const { servers } = start();
    servers.update(changes({ 'ns/web': [port, 1] }), LOCAL);
    await eventually(port, '200 1');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const { status, headers } = await ask(port, { agent });
    expect(status).toBe(200);
    expect(headers['keep-alive']).toBe('timeout=60'); // longer than from one probe to the next
    const [connection] = Object.values(agent.freeSockets).flat();
    servers.update(changes({ 'ns/web': [port, 0] }), LOCAL);
    expect((await ask(port, { agent })).status).toBe(503);
    expect(Object.values(agent.freeSockets).flat()).toEqual([connection]);
    agent.destroy();
  });

  it('that closes a port also closes its connections, asked on or silent', async () => {
    const [port = 0] = await freePorts(1);
    const { servers } = start();
    servers.update(changes({ 'ns/web': [port, 1] }), LOCAL);
    await eventually(port, '200 1');
    const [asked, silent] = [await dial(port), await dial(port)];
    asked.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await vi.waitFor(() => expect(asked.text()).toContain('"localEndpoints": 1'));
    servers.update(changes({ 'ns/web': undefined }), LOCAL);
    await Promise.all([asked.closed, silent.closed]);
    expect(await heard(port)).toBe(REFUSED);
  });

  it('lets two Services exchange their ports', async () => {
    const [one = 0, two = 0] = await freePorts(2);
    const { servers, problems } = start();
    servers.update(changes({ 'ns/a': [one, 1], 'ns/b': [two, 2] }), LOCAL);
    await eventually(two, '200 2');
    servers.update(changes({ 'ns/a': [two, 1], 'ns/b': [one, 2] }), LOCAL);
    expect([await heard(one), await heard(two)]).toEqual(['200 2', '200 1']);
    expect(problems).toEqual([]);
  });

  it('that closes a port before it was open leaves nothing behind', async () => {
    const [port = 0] = await freePorts(1);
    const { servers, problems } = start();
    servers.update(changes({ 'ns/web': [port, 1] }), LOCAL);
    servers.update(changes({ 'ns/web': undefined }), LOCAL);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await heard(port)).toBe(REFUSED);
    expect(problems).toEqual([]);
  });

  it('about a Service that was never there does nothing (E10)', async () => {
    const { servers, problems } = start();
    servers.update(changes({ 'ns/unknown': undefined }), LOCAL);
    servers.update(changes({}), 'all');
    expect(problems).toEqual([]);
  });

  it('after the stop does nothing', async () => {
    const [port = 0, other = 0] = await freePorts(2);
    const { servers } = start();
    servers.update(changes({ 'ns/web': [port, 1] }), LOCAL);
    await eventually(port, '200 1');
    await servers.stop();
    expect(await heard(port)).toBe(REFUSED);
    servers.update(changes({ 'ns/web': [port, 1], 'ns/other': [other, 1] }), LOCAL);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([await heard(port), await heard(other)]).toEqual([REFUSED, REFUSED]);
  });
});

describe('addresses', () => {
  it('that are given are the only ones (E13)', async () => {
    const [port = 0] = await freePorts(1);
    start().servers.update(changes({ 'ns/web': [port, 1] }), LOCAL);
    await eventually(port, '200 1');
    expect(await heard(port, '127.0.0.2')).toBe(REFUSED);
    expect(await heard(port, '::1')).toBe(REFUSED);
  });

  it('all of a family are those of that family, with that family’s count', async () => {
    const [port = 0] = await freePorts(1);
    const four = start('IPv4');
    const six = start('IPv6');
    six.servers.update(changes({ 'ns/web': [port, 0] }), 'all');
    await eventually(port, '503 0', '::1');
    expect(await heard(port, '127.0.0.1')).toBe(REFUSED);
    four.servers.update(changes({ 'ns/web': [port, 2] }), 'all');
    await eventually(port, '200 2', '127.0.0.1');
    expect(await heard(port, '127.0.0.2')).toBe('200 2');
    expect(await heard(port, '::1')).toBe('503 0');
    expect([...four.problems, ...six.problems]).toEqual([]);
  });

  it('that change are followed by all ports, and what stays is not closed', async () => {
    const [port = 0, other = 0] = await freePorts(2);
    const { servers, problems } = start();
    servers.update(changes({ 'ns/web': [port, 1], 'ns/other': [other, 2] }), ['127.0.0.1', '127.0.0.2']);
    await eventually(port, '200 1', '127.0.0.1');
    await eventually(port, '200 1', '127.0.0.2');
    await eventually(other, '200 2', '127.0.0.2');
    const staying = await dial(port, '127.0.0.2');
    servers.update(changes({}), ['127.0.0.2', '127.0.0.3']);
    await eventually(port, '200 1', '127.0.0.3');
    await eventually(other, '200 2', '127.0.0.3');
    expect(await heard(port, '127.0.0.1')).toBe(REFUSED);
    staying.socket.write('GET / HTTP/1.0\r\n\r\n');
    await staying.closed;
    expect(staying.text()).toContain('200 OK');
    expect(problems).toEqual([]);
  });

  it('change from all to one and back without a port in the way of itself', async () => {
    const [port = 0] = await freePorts(1);
    const { servers, problems } = start();
    const check = changes({ 'ns/web': [port, 1] });
    servers.update(check, 'all');
    await eventually(port, '200 1', '127.0.0.2');
    servers.update(check, LOCAL);
    await eventually(port, '200 1', '127.0.0.1');
    expect(await heard(port, '127.0.0.2')).toBe(REFUSED);
    servers.update(check, 'all');
    await eventually(port, '200 1', '127.0.0.2');
    servers.update(check, []);
    await eventually(port, REFUSED);
    expect(problems).toEqual([]);
  });
});
