import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiServer } from '../../src/lab/apiserver/server.ts';

const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';

const service = (name: string, spec: object = {}, labels?: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: 'default', name, ...(labels === undefined ? {} : { labels }) },
  spec: { clusterIP: '10.0.0.1', ...spec },
});

interface Answer {
  readonly code: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server says is compared with what it should say
  readonly body: any;
  readonly headers: Headers;
}

let server: ApiServer;

beforeEach(async () => {
  server = new ApiServer({ version: 100 });
  await server.start();
});

afterEach(() => server.stop());

const ask = async (path: string, method = 'GET', body?: unknown, headers?: Record<string, string>): Promise<Answer> => {
  const response = await fetch(server.url + path, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { code: response.status, headers: response.headers, body: text.startsWith('{') ? JSON.parse(text) : text };
};

const names = (answer: Answer): string[] =>
  answer.body.items.map((item: { metadata: { name: string } }) => item.metadata.name);

/** All lines of a watch that the server closes after a second, or as many as wanted. */
const watch = async (query: string, wanted = Number.POSITIVE_INFINITY, path = SERVICES): Promise<Answer['body'][]> => {
  const stop = new AbortController();
  const response = await fetch(`${server.url}${path}?watch=true&${query}`, { signal: stop.signal });
  expect(response.status).toBe(200);
  const lines: Answer['body'][] = [];
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    const complete = text.split('\n');
    text = complete.pop() ?? '';
    lines.push(...complete.map((line) => JSON.parse(line)));
    if (lines.length >= wanted) break;
  }
  stop.abort();
  return lines;
};

const seen = (events: readonly Answer['body'][]): string[] =>
  events.map(({ type, object }) => `${type} ${object.metadata.name ?? object.metadata.resourceVersion}`);

describe('objects', () => {
  it('are created, read, updated, patched and deleted under one counter of versions', async () => {
    const created = await ask('/api/v1/namespaces/default/services', 'POST', service('web'));
    expect(created).toMatchObject({ code: 201, body: { metadata: { resourceVersion: '101', namespace: 'default' } } });
    expect(created.body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    const path = '/api/v1/namespaces/default/services/web';
    expect((await ask(path)).body).toEqual(created.body);

    const updated = await ask(path, 'PUT', { ...created.body, spec: { clusterIP: '10.0.0.2' } });
    expect(updated).toMatchObject({ code: 200, body: { metadata: { resourceVersion: '102' } } });
    expect(updated.body.metadata.uid).toBe(created.body.metadata.uid);
    expect((await ask(path, 'PUT', updated.body)).body.metadata.resourceVersion).toBe('102');

    const patch = { metadata: { labels: { a: 'b' } }, spec: { clusterIP: null, type: 'NodePort' } };
    const patched = await ask(path, 'PATCH', patch, { 'content-type': 'application/merge-patch+json' });
    expect(patched.body).toMatchObject({ metadata: { labels: { a: 'b' }, resourceVersion: '103' } });
    expect(patched.body.spec).toEqual({ type: 'NodePort' });

    expect((await ask(path, 'DELETE')).code).toBe(200);
    expect(await ask(path)).toMatchObject({ code: 404, body: { kind: 'Status', reason: 'NotFound', code: 404 } });
    expect(server.version).toBe(104);
  });

  it('are refused with the reasons of the real server', async () => {
    server.put(service('web'));
    const path = '/api/v1/namespaces/default/services';
    expect((await ask(path, 'POST', service('web'))).body).toMatchObject({ code: 409, reason: 'AlreadyExists' });
    const stale = { ...service('web'), metadata: { name: 'web', resourceVersion: '1' } };
    expect((await ask(`${path}/web`, 'PUT', stale)).body).toMatchObject({ code: 409, reason: 'Conflict' });
    expect((await ask(`${path}/other`, 'PUT', service('web'))).code).toBe(404);
    expect((await ask('/api/v1/namespaces/other/services', 'POST', service('web'))).code).toBe(400);
    expect((await ask(path, 'POST', { kind: 'Node' })).code).toBe(400);
    expect((await ask(`${path}/web`, 'PATCH', [], { 'content-type': 'application/apply-patch+json' })).code).toBe(415);
    expect((await ask(path, 'PUT', service('web'))).code).toBe(404);
    expect((await ask('/api/v1/pods')).body).toMatchObject({ code: 404, kind: 'Status' });
    expect((await ask('/api/v1/nodes/missing')).body.message).toBe('nodes "missing" not found');
  });

  it('may be events, with a generated name', async () => {
    const event = {
      metadata: { generateName: 'pointsman.' },
      reason: 'SyncFailed',
      involvedObject: { kind: 'Service' },
    };
    const created = await ask('/api/v1/namespaces/default/events', 'POST', event);
    expect(created.code).toBe(201);
    expect(created.body.metadata.name).toMatch(/^pointsman\.[0-9a-z]{5}$/);
    expect(server.objects('Event')).toHaveLength(1);
  });

  it('are put, read and deleted by the program too', () => {
    const first = server.put({ kind: 'Node', metadata: { name: 'one' } });
    expect(first).toMatchObject({ apiVersion: 'v1', metadata: { resourceVersion: '101' } });
    expect(server.put({ kind: 'Node', metadata: { name: 'one' } }).metadata).toMatchObject({
      uid: first.metadata.uid,
      creationTimestamp: first.metadata.creationTimestamp,
      resourceVersion: '102',
    });
    expect(server.get('Node', '', 'one')?.metadata.resourceVersion).toBe('102');
    expect(server.delete('Node', '', 'one')).toBe(true);
    expect(server.delete('Node', '', 'one')).toBe(false);
  });
});

describe('lists', () => {
  it('select by label, field and namespace', async () => {
    server.put(service('plain', {}, { app: 'a' }));
    server.put(service('headless', { clusterIP: 'None' }, { app: 'b' }));
    server.put(service('foreign', {}, { 'service.kubernetes.io/service-proxy-name': 'x', app: 'c' }));
    server.put({ ...service('elsewhere'), metadata: { namespace: 'zoo', name: 'elsewhere' } });
    const select = async (query: string, path = SERVICES) => names(await ask(`${path}?${query}`));
    expect(await select('')).toEqual(['foreign', 'headless', 'plain', 'elsewhere']);
    expect(await select('labelSelector=%21service.kubernetes.io%2Fservice-proxy-name')).not.toContain('foreign');
    expect(await select('fieldSelector=spec.clusterIP%21%3DNone')).toEqual(['foreign', 'plain', 'elsewhere']);
    expect(await select('labelSelector=app+in+(a,b),app!=b')).toEqual(['plain']);
    expect(await select('labelSelector=app+notin+(a,b)')).toEqual(['foreign', 'elsewhere']);
    expect(await select('labelSelector=app')).toEqual(['foreign', 'headless', 'plain']);
    expect(await select('labelSelector=app==c')).toEqual(['foreign']);
    expect(await select('fieldSelector=metadata.name=plain')).toEqual(['plain']);
    expect(await select('', '/api/v1/namespaces/zoo/services')).toEqual(['elsewhere']);
    expect((await ask(`${SERVICES}?fieldSelector=spec.ports=1`)).code).toBe(400);
    expect((await ask(`${SERVICES}?labelSelector=a+of+b`)).code).toBe(400);
  });

  it('come in pages of one consistent snapshot', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) server.put(service(name));
    const first = await ask(`${SERVICES}?limit=2&resourceVersion=0`);
    expect(first.body.metadata).toMatchObject({ resourceVersion: '105', remainingItemCount: 3 });
    server.put(service('bb'));
    server.delete('Service', 'default', 'd');
    const second = await ask(`${SERVICES}?limit=2&continue=${first.body.metadata.continue}`);
    const third = await ask(`${SERVICES}?limit=2&continue=${second.body.metadata.continue}`);
    expect([...names(first), ...names(second), ...names(third)]).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(third.body.metadata).toEqual({ resourceVersion: '105' });
    server.compact();
    const late = await ask(`${SERVICES}?limit=2&continue=${second.body.metadata.continue}`);
    expect(late.body).toMatchObject({ code: 410, reason: 'Expired' });
    expect((await ask(`${SERVICES}?limit=2&continue=rubbish`)).code).toBe(400);
  });

  it('leave out kind and apiVersion of their items, as the real server does', async () => {
    server.put(service('a'));
    const { body } = await ask(SERVICES);
    expect(body).toMatchObject({ kind: 'ServiceList', apiVersion: 'v1' });
    expect(body.items[0]).not.toHaveProperty('kind');
  });

  it.each([
    ['resourceVersion=0', 200],
    ['resourceVersion=101', 200],
    ['resourceVersion=100&resourceVersionMatch=Exact', 200],
    ['resourceVersion=99&resourceVersionMatch=Exact', 410],
    ['resourceVersion=99&resourceVersionMatch=NotOlderThan', 200],
    ['resourceVersion=99&limit=1', 410],
    ['resourceVersion=102', 504],
    ['resourceVersion=abc', 400],
    ['resourceVersionMatch=Exact', 422],
    ['resourceVersion=0&resourceVersionMatch=Exact', 422],
    ['resourceVersion=1&resourceVersionMatch=Newest', 422],
    ['limit=-1', 400],
  ])('answer %s with %d', async (query, code) => {
    server.put(service('a'));
    expect((await ask(`${SERVICES}?${query}`)).code).toBe(code);
  });
});

describe('watches', () => {
  it('begin with what there is when they do not say from where', async () => {
    server.put(service('a'));
    const events = watch('', 2);
    await expect.poll(() => server.openWatches).toBe(1);
    server.put(service('b'));
    expect(seen(await events)).toEqual(['ADDED a', 'ADDED b']);
  });

  it('go on from a version, and see objects enter and leave their selection', async () => {
    server.put(service('a', { clusterIP: 'None' }));
    server.put(service('a'));
    server.put(service('a', { type: 'NodePort' }));
    server.put(service('a', { clusterIP: 'None' }));
    server.put(service('b'));
    server.delete('Service', 'default', 'b');
    const events = await watch('resourceVersion=101&fieldSelector=spec.clusterIP%21%3DNone', 5);
    expect(seen(events)).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a', 'ADDED b', 'DELETED b']);
    expect(events.map(({ object }) => object.metadata.resourceVersion)).toEqual(['102', '103', '104', '105', '106']);
    expect(events[2].object.spec.clusterIP).toBe('10.0.0.1');
  });

  it('end with an ERROR event when their version is too old', async () => {
    server.put(service('a'));
    server.compact();
    const [error, ...rest] = await watch('resourceVersion=100');
    expect(error).toMatchObject({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } });
    expect(rest).toEqual([]);
  });

  it('stream a list, with its end marked', async () => {
    server.put(service('a'));
    const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1';
    const events = await watch(query);
    expect(seen(events)).toEqual(['ADDED a', 'BOOKMARK 101', 'BOOKMARK 101']);
    expect(events[1].object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
    expect(events[2].object.metadata.annotations).toBeUndefined();
    expect((await ask(`${SERVICES}?watch=1&sendInitialEvents=true`)).code).toBe(422);
    expect((await ask(`${SERVICES}?watch=1&resourceVersionMatch=NotOlderThan`)).code).toBe(422);
    expect((await ask(`${SERVICES}?watch=1&${query}&resourceVersion=999`)).code).toBe(504);
  });

  it('send bookmarks regularly', async () => {
    await server.stop();
    server = new ApiServer({ version: 7, bookmarkEveryMs: 10 });
    await server.start();
    expect(seen(await watch('allowWatchBookmarks=true', 2, SLICES))).toEqual(['BOOKMARK 7', 'BOOKMARK 7']);
  });
});

describe('around objects', () => {
  it('says what it is', async () => {
    expect((await ask('/healthz')).body).toBe('ok');
    expect((await ask('/version')).body.major).toBe('1');
    expect((await ask('/api')).body).toMatchObject({ versions: ['v1'] });
    const groups = (await ask('/apis')).body.groups.map((group: { name: string }) => group.name);
    expect(groups).toEqual(['discovery.k8s.io', 'networking.k8s.io', 'events.k8s.io']);
    expect((await ask('/apis/discovery.k8s.io')).body.preferredVersion.groupVersion).toBe('discovery.k8s.io/v1');
    const resources = (await ask('/apis/discovery.k8s.io/v1')).body.resources;
    expect(resources).toMatchObject([{ name: 'endpointslices', namespaced: true }]);
    expect((await ask('/nowhere')).code).toBe(404);
  });

  it('lets in who has the token, and logs who asked for what', async () => {
    server.token = 'secret';
    expect((await ask(SERVICES)).body).toMatchObject({ code: 401, reason: 'Unauthorized' });
    expect((await ask(`${SERVICES}?limit=1`, 'GET', undefined, { authorization: 'Bearer secret' })).code).toBe(200);
    expect(server.requests).toMatchObject([
      { method: 'GET', path: SERVICES, verb: 'list' },
      { query: { limit: '1' }, resource: 'services', authorization: 'Bearer secret' },
    ]);
  });

  it('makes faults on demand, over a unix socket too', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pointsman-'));
    await server.stop();
    const socketPath = join(dir, 'lab.sock');
    server = new ApiServer({ socketPath });
    await server.start();
    const order = (body: unknown, method = 'POST') =>
      new Promise<number | undefined>((resolve, reject) => {
        const request = http.request({ socketPath, path: '/lab/faults', method }, (response) => {
          response.resume().on('end', () => resolve(response.statusCode));
        });
        request.on('error', reject);
        request.end(JSON.stringify(body));
      });
    expect(await order([{ fault: 'answer', status: 429, retryAfter: 3, count: 1, resource: 'services' }])).toBe(200);
    expect((await ask('/api/v1/nodes')).code).toBe(200);
    const busy = await ask(SERVICES);
    expect(busy.code).toBe(429);
    expect(busy.headers.get('retry-after')).toBe('3');
    expect((await ask(SERVICES)).code).toBe(200);
    expect(await order({ fault: 'nonsense' })).toBe(400);
    expect(await order({ fault: 'drop', verb: 'list' })).toBe(200);
    await expect(ask(SERVICES)).rejects.toThrow();
    expect(await order({}, 'DELETE')).toBe(200);
    expect((await ask(SERVICES)).code).toBe(200);
    expect(await order({ fault: 'delay', ms: 30, count: 1 })).toBe(200);
    const before = Date.now();
    await ask(SERVICES);
    expect(Date.now() - before).toBeGreaterThanOrEqual(29);
    await rm(dir, { recursive: true });
  });

  it('keeps port and objects over a restart, and loses them on demand', async () => {
    const { port } = server;
    server.put(service('a'));
    await server.stop();
    expect(server.openConnections).toBe(0);
    await server.start();
    expect(server.port).toBe(port);
    expect(names(await ask(SERVICES))).toEqual(['a']);
    server.reset(1);
    expect((await ask(SERVICES)).body).toMatchObject({ metadata: { resourceVersion: '1' }, items: [] });
  });
});
