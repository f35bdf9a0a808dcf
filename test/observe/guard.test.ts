/** Who gets which page, by where he calls from, by which name, and with which token. */
import { describe, expect, it } from 'vitest';
import { type AccessRequest, type GuardOptions, guarded, type Verdict } from '../../src/observe/guard.ts';
import { type HttpRequest, type Route, type Routes, text } from '../../src/observe/http.ts';

const PUBLIC = ['/metrics', '/metrics/slis', '/healthz', '/healthz/ping', '/proxyMode'];
const GUARDED = ['/status', '/rules', '/configz', '/flagz', '/statusz', '/debug/pprof', '/debug/pprof/profile'];
const WRITING = ['PUT /debug/flags/v', 'DELETE /metrics/slis'];
const HEAP = '/debug/pprof/heap';
/** Nobody has said anything of this one. */
const NEW = '/something/new';
const ROUTES: Routes = new Map(
  [...PUBLIC, ...GUARDED, ...WRITING, HEAP, NEW].map((key): [string, Route] => [key, () => text(200, `page ${key}`)]),
);

const STRANGER: HttpRequest = {
  query: new URLSearchParams(),
  accept: '',
  host: '10.250.0.1:10249',
  authorization: '',
  peer: '10.250.0.9',
  body: '',
};
const HERE: HttpRequest = { ...STRANGER, peer: '127.0.0.1', host: 'localhost:10249' };
const bearing = (token: string): HttpRequest => ({ ...STRANGER, authorization: `Bearer ${token}` });

const bench = (policy: GuardOptions['policy'] = 'token', verdict: Verdict | undefined = 'forbidden') => {
  const asked: AccessRequest[] = [];
  const authorize = async (request: AccessRequest): Promise<Verdict> => {
    asked.push(request);
    return request.token === 'good' ? 'allowed' : verdict;
  };
  const pages = guarded(ROUTES, { policy, authorize });
  const get = async (key: string, question: HttpRequest) => {
    const answer = await pages.get(key)?.(question);
    if (answer === undefined || typeof answer.body !== 'string') throw new Error(`no page ${key}`);
    return { ...answer, body: answer.body };
  };
  return { asked, get, pages };
};

describe('a stranger', () => {
  it.each(PUBLIC)('gets %s', async (key) => {
    expect(await bench().get(key, STRANGER)).toMatchObject({ status: 200 });
    expect(await bench('local').get(key, STRANGER)).toMatchObject({ status: 200 });
  });

  it.each([...GUARDED, ...WRITING, NEW])('does not get %s, and is told how', async (key) => {
    const { get, asked } = bench();
    const answer = await get(key, STRANGER);
    expect(answer).toMatchObject({ status: 401, headers: { 'WWW-Authenticate': 'Bearer' } });
    expect(answer.body).toMatch(
      /^only for callers on this node itself, .* with a bearer token that may (get|put|delete) \//,
    );
    expect(answer.body).not.toContain('page');
    expect(asked).toEqual([]); // no request to the API server for who shows nothing
  });

  it.each([...GUARDED, ...WRITING, NEW])('does not get %s by any token where none counts', async (key) => {
    const { get, asked } = bench('local');
    expect(await get(key, bearing('good'))).toMatchObject({
      status: 403,
      body: expect.stringContaining('port-forward'),
    });
    expect(asked).toEqual([]);
  });

  it('does not get metrics either where that is wanted', async () => {
    const { get } = bench('strict');
    for (const key of ['/metrics', '/metrics/slis']) {
      expect(await get(key, STRANGER)).toMatchObject({ status: 401 });
      expect(await get(key, bearing('good'))).toMatchObject({ status: 200 });
    }
    for (const key of ['/healthz', '/healthz/ping', '/proxyMode']) {
      expect(await get(key, STRANGER)).toMatchObject({ status: 200 });
    }
  });

  it('gets nothing with a token where there is no cluster to ask', async () => {
    const pages = guarded(ROUTES, { policy: 'token', authorize: undefined });
    expect(await pages.get('/status')?.(bearing('good'))).toMatchObject({ status: 403 });
  });
});

describe('a bearer', () => {
  it.each([...GUARDED, ...WRITING])('gets %s, if he may', async (key) => {
    const { get, asked } = bench();
    expect(await get(key, bearing('good'))).toMatchObject({ status: 200, body: `page ${key}` });
    const [path, method = 'get'] = key.split(' ').reverse();
    expect(asked).toEqual([{ token: 'good', verb: method.toLowerCase(), path }]);
  });

  it.each([
    ['unknown-token', 401, 'bearer token'],
    ['forbidden', 403, 'nonResourceURLs'],
    ['unavailable', 503, 'cannot be asked'],
  ] as const)('who is %s gets %i', async (verdict, status, said) => {
    const answer = await bench('token', verdict).get('/status', bearing('secret-token'));
    expect(answer).toMatchObject({ status, body: expect.stringContaining(said) });
    expect(JSON.stringify(answer)).not.toContain('secret-token');
  });

  it('never gets a snapshot of the heap: it holds credentials of the proxy itself', async () => {
    const { get, asked } = bench();
    expect(await get(HEAP, bearing('good'))).toMatchObject({ status: 403, body: expect.stringContaining('this node') });
    expect(asked).toEqual([]);
    expect(await get(HEAP, HERE)).toMatchObject({ status: 200 });
  });

  it.each(['', 'good', 'Basic good', 'Bearer', 'Bearer ', 'Bearer a b', 'Bearergood'])(
    'is nobody by %j',
    async (authorization) => {
      const { get, asked } = bench();
      expect(await get('/status', { ...STRANGER, authorization })).toMatchObject({ status: 401 });
      expect(asked).toEqual([]);
    },
  );

  it.each(['bearer good', 'BEARER   good', ' Bearer good '])('is known by %j', async (authorization) => {
    expect(await bench().get('/status', { ...STRANGER, authorization })).toMatchObject({ status: 200 });
  });
});

describe('the node itself', () => {
  it.each([...ROUTES.keys()])('gets %s, without a token and whatever the policy', async (key) => {
    for (const policy of ['local', 'token', 'strict'] as const) {
      const { get, asked } = bench(policy);
      expect(await get(key, HERE)).toMatchObject({ status: 200 });
      expect(asked).toEqual([]);
    }
  });

  it.each([
    ['127.0.0.1', 'localhost:10249', 200],
    ['127.8.8.8', '127.0.0.1:10249', 200],
    ['::1', '[::1]:10249', 200],
    ['::ffff:127.0.0.1', 'LOCALHOST', 200],
    ['::1', '[::1]', 200],
    ['10.250.0.9', 'localhost:10249', 403],
    ['10.250.0.9', '10.250.0.1:10249', 403],
    ['10.250.0.1', '10.250.0.1:10249', 403],
    ['fd50::9', '[::1]:10249', 403],
    ['127.0.0.1', 'evil.example:10249', 403],
    ['127.0.0.1', 'localhost.evil.example', 403],
    ['127.0.0.1', '127.0.0.1.evil.example:10249', 403],
    ['127.0.0.1', 'evil.example:1@localhost:10249', 403],
    ['127.0.0.1', '', 403],
    ['', 'localhost', 403],
  ])('is who calls from %s by the name %s: %i', async (peer, host, status) => {
    const answer = await bench('local').get('/rules', { ...STRANGER, peer, host });
    expect(answer.status).toBe(status);
  });
});
