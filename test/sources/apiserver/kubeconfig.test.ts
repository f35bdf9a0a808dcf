import { chmod, mkdir } from 'node:fs/promises';
import http from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { base64, get, useCertificates, useDialling } from './dialling.ts';

const at = useDialling();
const certificates = useCertificates();

const authorizations = (): string[] => at.server.requests.map((request) => request.authorization);

describe('a kubeconfig', () => {
  it('with a tokenFile, relative to itself and rotated by others', async () => {
    await at.listen({ ...certificates.secure(), token: 'first' });
    await mkdir(join(at.dir, 'secrets'));
    await at.put('secrets/token', 'first');
    await at.put('ca.crt', certificates.pair('old').cert);
    const user = { tokenFile: 'secrets/token', token: 'ignored' };
    const connection = await at.dial({
      kubeconfig: await at.writeKubeconfig({ cluster: { 'certificate-authority': 'ca.crt' }, user }),
    });
    expect(await get(connection)).toBe(200);
    await at.put('secrets/token', 'second');
    at.server.token = 'second';
    expect(await get(connection)).toBe(200);
    expect(authorizations()).toEqual(['Bearer first', 'Bearer second']);
    expect(at.server.acceptedConnections).toBe(1);
  });

  it.each([
    ['a token', { token: 'abc' }, 'Bearer abc'],
    ['a user name', { username: 'me', password: 'secret' }, `Basic ${base64('me:secret')}`],
    ['nothing', {}, ''],
    ['no user', null, ''],
  ])('with %s', async (_, user, authorization) => {
    await at.listen(certificates.secure());
    const cluster = { 'certificate-authority-data': base64(certificates.pair('old').cert) };
    expect(await get(await at.dial({ kubeconfig: await at.writeKubeconfig({ cluster, user }) }))).toBe(200);
    expect(authorizations()).toEqual([authorization]);
  });

  it('with client certificate, key and CA in files that rotate, even one by one', async () => {
    await at.listen(certificates.secure('old', 'old'));
    await at.put('ca.crt', certificates.pair('old').cert);
    await at.put('tls.crt', certificates.pair('old-client').cert);
    await at.put('tls.key', certificates.pair('old-client').key);
    const cluster = { 'certificate-authority': 'ca.crt' };
    const user = { 'client-certificate': 'tls.crt', 'client-key': 'tls.key' };
    const connection = await at.dial({ kubeconfig: await at.writeKubeconfig({ cluster, user }) });
    expect(await get(connection)).toBe(200);
    expect(await get(connection)).toBe(200);
    expect(at.server.acceptedConnections).toBe(1);

    await at.put('tls.crt', certificates.pair('new-client').cert);
    expect(await get(connection)).toBe(200); // no pair yet: still the old one, on the old connection
    expect(at.server.acceptedConnections).toBe(1);
    expect(at.log.lines.at(-1)?.message).toBe('credentials cannot be used, using the last ones');
    await at.put('tls.key', certificates.pair('new-client').key);
    await expect(get(connection)).rejects.toThrow(); // nobody knows the new client yet
    const { port } = at.server;
    await at.server.stop();
    await at.put('ca.crt', certificates.pair('old').cert + certificates.pair('new').cert);
    await at.listen({ ...certificates.secure('new', 'new'), port });
    expect(await get(connection)).toBe(200);
    expect(at.log.lines.filter(({ message }) => message.startsWith('certificates changed'))).toHaveLength(2);
  });

  it('does not trust an unknown authority, unless told to trust anybody', async () => {
    await at.listen(certificates.secure('new'));
    const cluster = { 'certificate-authority-data': base64(certificates.pair('old').cert) };
    await expect(get(await at.dial({ kubeconfig: await at.writeKubeconfig({ cluster }) }))).rejects.toThrow(
      /certificate/,
    );
    const careless = { 'insecure-skip-tls-verify': true };
    expect(await get(await at.dial({ kubeconfig: await at.writeKubeconfig({ cluster: careless }) }))).toBe(200);
  });

  it('may name the server otherwise for TLS', async () => {
    await at.listen(certificates.secure());
    const ca = { 'certificate-authority-data': base64(certificates.pair('old').cert) };
    const named = { ...ca, 'tls-server-name': 'apiserver.test' };
    expect(await get(await at.dial({ kubeconfig: await at.writeKubeconfig({ cluster: named }) }))).toBe(200);
    const misnamed = { ...ca, 'tls-server-name': 'other.test' };
    await expect(get(await at.dial({ kubeconfig: await at.writeKubeconfig({ cluster: misnamed }) }))).rejects.toThrow(
      /altnames/,
    );
  });

  it('may be overridden by --master, and speak plain http', async () => {
    await at.listen();
    const kubeconfig = await at.writeKubeconfig({
      cluster: { server: 'https://nowhere.invalid' },
      user: { token: 'abc' },
    });
    expect(await get(await at.dial({ kubeconfig, master: at.server.url }))).toBe(200);
    expect(await get(await at.dial({ kubeconfig: await at.writeKubeconfig() }))).toBe(200);
    expect(authorizations()).toEqual(['Bearer abc', '']);
  });

  it('may run a plugin, once for requests that start together, and again when it is not believed', async () => {
    await at.listen({ token: 'run-1' });
    const plugin = [
      '#!/bin/sh',
      `echo x >>${at.dir}/runs`,
      `n=$(wc -l <${at.dir}/runs)`,
      'case "$KUBERNETES_EXEC_INFO" in *ExecCredential*) ;; *) exit 1 ;; esac',
      `printf '{"kind":"ExecCredential","status":{"token":"run-%d"}}' $n`,
    ];
    await at.put('plugin', plugin.join('\n'));
    await chmod(join(at.dir, 'plugin'), 0o755);
    const user = { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: './plugin' } };
    const connection = await at.dial({ kubeconfig: await at.writeKubeconfig({ user }) });
    expect(await Promise.all([get(connection), get(connection), get(connection)])).toEqual([200, 200, 200]);
    at.server.token = 'run-2';
    expect(await get(connection)).toBe(401);
    expect(await get(connection)).toBe(200);
    expect(authorizations()).toEqual(['Bearer run-1', 'Bearer run-1', 'Bearer run-1', 'Bearer run-1', 'Bearer run-2']);
  });

  it('whose plugin fails is no reason not to start, and its wait can be aborted', async () => {
    await at.listen();
    const broken = { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: '/no/such/plugin' } };
    const connection = await at.dial({ kubeconfig: await at.writeKubeconfig({ user: broken }) });
    await expect(get(connection)).rejects.toThrow('ENOENT');
    const slow = { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sleep', args: ['1'] } };
    const waiting = await at.dial({ kubeconfig: await at.writeKubeconfig({ user: slow }) });
    const impatient = AbortSignal.timeout(20);
    await expect(waiting.request('/version', { signal: impatient })).rejects.toThrow(/timeout/);
  });

  it('may lead through a proxy, whose tunnels are kept', async () => {
    await at.listen(certificates.secure('old', 'old'));
    const tunnels: Socket[] = [];
    const proxy = http.createServer().on('connect', (request, socket) => {
      const upstream = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        socket.pipe(upstream).pipe(socket);
      });
      tunnels.push(upstream, socket as Socket);
      for (const end of [upstream, socket]) end.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const cluster = {
      'certificate-authority-data': base64(certificates.pair('old').cert),
      'proxy-url': `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    };
    const { cert, key } = certificates.pair('old-client');
    const user = { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) };
    const connection = await at.dial({ kubeconfig: await at.writeKubeconfig({ cluster, user }) });
    expect([await get(connection), await get(connection)]).toEqual([200, 200]);
    expect(tunnels).toHaveLength(2);
    connection.close();
    for (const socket of tunnels) socket.destroy();
    await new Promise((resolve) => proxy.close(resolve));
  });
});

describe('a bad kubeconfig', () => {
  const base = {
    clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  const withUser = (user: object) => ({ ...base, users: [{ name: 'u', user }] });
  const withCluster = (cluster: object) => ({ ...base, clusters: [{ name: 'c', cluster }] });
  const server = 'https://127.0.0.1:1';

  it.each<[string, unknown, string]>([
    ['that is empty', '', 'not a mapping of clusters, users and contexts'],
    ['that is no YAML', 'a: [b\nc: d', 'at line 2'],
    ['without a current context', { ...base, 'current-context': undefined }, 'current-context is missing'],
    ['with an unknown context', { ...base, 'current-context': 'y' }, 'current-context "y" is not among contexts'],
    ['with an unknown cluster', { ...base, clusters: [] }, 'the cluster of context x: "c" is not among clusters'],
    ['with an unknown user', { ...base, users: undefined }, 'the user of context x: "u" is not among users'],
    ['without a server', withCluster({}), 'cluster c has no server'],
    ['with a strange server', withCluster({ server: 'ftp://x' }), '"ftp://x" is no http:// or https:// URL'],
    [
      'with a missing CA file',
      withCluster({ server, 'certificate-authority': 'ca' }),
      "ENOENT: no such file or directory, open '",
    ],
    [
      'with a CA that is none',
      withCluster({ server, 'certificate-authority-data': base64('x') }),
      'authority is no PEM certificate',
    ],
    ['with a missing token file', withUser({ tokenFile: 'token' }), 'token: ENOENT'],
    [
      'with a certificate that is none',
      withUser({ 'client-certificate-data': base64('x'), 'client-key-data': base64('y') }),
      'no usable pair',
    ],
    [
      'with a plugin and a missing CA file',
      {
        ...withUser({ exec: { command: 'x' } }),
        clusters: [{ name: 'c', cluster: { server, 'certificate-authority': 'ca' } }],
      },
      'ENOENT',
    ],
    ['with a key alone', withUser({ 'client-key-data': base64('y') }), 'a client key without a certificate'],
  ])('%s is an error that says so, with its name', async (_, content, complaint) => {
    const kubeconfig = join(at.dir, 'broken.conf');
    await at.put('broken.conf', typeof content === 'string' ? content : stringify(content));
    const error = await at.dial({ kubeconfig }).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain(`Error: kubeconfig ${kubeconfig}: `);
    expect(String(error)).toContain(complaint);
  });

  it('that is not there, or may not be read, is one too', async () => {
    await expect(at.dial({ kubeconfig: join(at.dir, 'none') })).rejects.toThrow(
      `kubeconfig ${join(at.dir, 'none')}: ENOENT`,
    );
    await expect(at.dial({ kubeconfig: at.dir })).rejects.toThrow('EISDIR');
  });
});
