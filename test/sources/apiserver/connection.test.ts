import { getEventListeners } from 'node:events';
import { rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ApiConnectionOptions } from '../../../src/sources/apiserver/connection.ts';
import { get, useCertificates, useDialling } from './dialling.ts';

const at = useDialling();
const certificates = useCertificates();
const { signal } = new AbortController();

describe('a bare URL', () => {
  it('is enough, and its path is kept', async () => {
    await at.listen();
    expect(await get(await at.dial({ master: at.server.url }))).toBe(200);
    expect(await get(await at.dial({ master: `${at.server.url}/prefix/` }))).toBe(404);
    expect(at.server.requests.at(-1)).toMatchObject({ path: '/prefix/api/v1/nodes', userAgent: 'pointsman/1.2.3' });
  });

  it.each(['127.0.0.1:8080', 'localhost:8080', 'unix:///run/api.sock'])('is not %s', async (master) => {
    await expect(at.dial({ master })).rejects.toThrow(`--master: "${master}" is no http:// or https:// URL`);
  });

  it('takes writes too', async () => {
    await at.listen();
    const connection = await at.dial({ master: at.server.url });
    const body = { metadata: { name: 'e' }, reason: 'Test' };
    const response = await connection.request('/api/v1/namespaces/default/events', { signal, method: 'POST', body });
    response.resume();
    expect(response.statusCode).toBe(201);
    expect(at.server.objects('Event')).toHaveLength(1);
  });
});

describe('inside a cluster', () => {
  const inCluster = async (): Promise<Partial<ApiConnectionOptions>> => {
    await at.put('token', 'first\n');
    await at.put('ca.crt', certificates.pair('old').cert);
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(at.server.port) };
    return { env, serviceAccountDir: at.dir };
  };

  it('the environment and the service account are enough, and the token is read anew', async () => {
    await at.listen({ ...certificates.secure(), token: 'first' });
    const connection = await at.dial(await inCluster());
    expect(await get(connection)).toBe(200);
    await at.put('token', 'second\n');
    expect(await get(connection)).toBe(401);
    at.server.token = 'second';
    expect(await get(connection)).toBe(200);
    await rm(join(at.dir, 'token'));
    expect(await get(connection)).toBe(200);
    expect(at.log.lines.at(-1)?.message).toBe('the token file cannot be read, using the last token');
    expect(at.server.acceptedConnections).toBe(1);
  });

  it('an incomplete one is an error at once', async () => {
    await at.listen(certificates.secure());
    const options = await inCluster();
    await expect(at.dial({ ...options, env: {} })).rejects.toThrow('neither --kubeconfig nor --master is given');
    await at.put('token', '');
    await expect(at.dial(options)).rejects.toThrow(`token file ${join(at.dir, 'token')}: the file is empty`);
    await at.put('ca.crt', 'rubbish');
    await at.put('token', 'first');
    await expect(at.dial(options)).rejects.toThrow('ca.crt: the certificate authority is no PEM certificate');
    await rm(join(at.dir, 'ca.crt'));
    await expect(at.dial(options)).rejects.toThrow(`CA file ${join(at.dir, 'ca.crt')}: ENOENT`);
  });
});

describe('a request', () => {
  it('is given up when no connection comes about', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket)); // accepts, and never says a word of TLS
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo;
    const connection = await at.dial({ master: `https://127.0.0.1:${port}`, timeouts: { connectMs: 40 } });
    await expect(get(connection)).rejects.toThrow('no connection within 40 ms');
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => mute.close(resolve));
  });

  it('leaves nothing on its signal', async () => {
    await at.listen();
    const connection = await at.dial({ master: at.server.url });
    const controller = new AbortController();
    for (let i = 0; i < 20; i++) {
      const response = await connection.request('/version', { signal: controller.signal });
      for await (const _ of response);
    }
    await expect.poll(() => getEventListeners(controller.signal, 'abort')).toEqual([]);
  });

  it('is aborted by its signal, at every stage', async () => {
    await at.listen();
    at.server.inject({ fault: 'hang' });
    const connection = await at.dial({ master: at.server.url });
    await expect(connection.request('/version', { signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
    await expect(connection.request('/version', { signal: AbortSignal.timeout(20) })).rejects.toThrow(/abort/);
    await expect.poll(() => at.server.openConnections).toBe(0);
  });
});
