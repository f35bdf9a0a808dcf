/** Writes that the real server judges more closely: JSON patches, Events, and reviews. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsonPatch } from '../../src/lab/apiserver/json-patch.ts';
import { ApiServer } from '../../src/lab/apiserver/server.ts';
import type { StatusError } from '../../src/lab/apiserver/status.ts';

let server: ApiServer;
beforeEach(async () => {
  server = new ApiServer({ version: 100 });
  await server.start();
});
afterEach(() => server.stop());

const ask = async (method: string, path: string, body: unknown, contentType = 'application/json') => {
  const headers = { 'content-type': contentType };
  const response = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) });
  return { code: response.status, body: (await response.json()) as { readonly message?: string } };
};

const JSON_PATCH = 'application/json-patch+json';

describe('a JSON patch', () => {
  const taints = [{ key: 'a/b', effect: 'NoSchedule' }, { key: 'c' }];
  const of = (...operations: readonly object[]): unknown => jsonPatch({ spec: { taints, 'x/y': 1 } }, operations);

  it.each([
    [[{ op: 'remove', path: '/spec/taints' }], { 'x/y': 1 }],
    [[{ op: 'remove', path: '/spec/taints/0' }], { taints: [{ key: 'c' }], 'x/y': 1 }],
    [[{ op: 'replace', path: '/spec/taints', value: [] }], { taints: [], 'x/y': 1 }],
    [[{ op: 'replace', path: '/spec/taints/1/key', value: 'd' }], { taints: [taints[0], { key: 'd' }], 'x/y': 1 }],
    [[{ op: 'add', path: '/spec/taints/-', value: 3 }], { taints: [...taints, 3], 'x/y': 1 }],
    [[{ op: 'add', path: '/spec/taints/0', value: 3 }], { taints: [3, ...taints], 'x/y': 1 }],
    [[{ op: 'test', path: '/spec/taints/0/key', value: 'a/b' }], { taints, 'x/y': 1 }],
    [
      [
        { op: 'test', path: '/spec/taints', value: taints },
        { op: 'replace', path: '/spec/x~1y', value: 2 },
      ],
      { taints, 'x/y': 2 },
    ],
  ])('%j applies', (operations, spec) => {
    expect(of(...operations)).toEqual({ spec });
  });

  it.each([
    [422, { op: 'test', path: '/spec/taints', value: [] }],
    [422, { op: 'remove', path: '/spec/nothing' }],
    [422, { op: 'replace', path: '/spec/taints/2', value: 1 }],
    [422, { op: 'add', path: '/nothing/at/all', value: 1 }],
    [400, { op: 'copy', path: '/spec/taints', from: '/spec/x' }],
    [400, { op: 'test', path: 'spec' }],
    [400, {}],
  ])('with status %d is refused: %j', (code, operation) => {
    try {
      of(operation);
    } catch (error) {
      expect((error as StatusError).status.code).toBe(code);
      return;
    }
    throw new Error('it was not refused');
  });

  it('changes an object whole or not at all', async () => {
    server.put({ kind: 'Node', metadata: { name: 'n' }, spec: { taints } });
    const remove = { op: 'remove', path: '/spec/taints' };
    const stale = [remove, { op: 'test', path: '/spec/podCIDR', value: 'x' }];
    expect((await ask('PATCH', '/api/v1/nodes/n', stale, JSON_PATCH)).code).toBe(422);
    expect(server.get('Node', '', 'n')).toMatchObject({ spec: { taints } });
    expect((await ask('PATCH', '/api/v1/nodes/n', [remove], JSON_PATCH)).code).toBe(200);
    expect(server.get('Node', '', 'n')?.spec).toEqual({});
  });
});

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const AT = '2026-01-01T00:00:00.000000Z';
const EVENT = {
  metadata: { name: 'n.1', namespace: 'default' },
  eventTime: AT,
  reportingController: 'pointsman',
  reportingInstance: 'n',
  action: 'Start',
  reason: 'Starting',
  type: 'Normal',
  note: 'x',
  regarding: { apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'n' },
};

describe('an Event', () => {
  it('is made, and its series changes', async () => {
    expect((await ask('POST', EVENTS, EVENT)).code).toBe(201);
    const again = { series: { count: 2, lastObservedTime: AT } };
    expect(await ask('PATCH', `${EVENTS}/n.1`, again, 'application/merge-patch+json')).toMatchObject({
      code: 200,
      body: again,
    });
  });

  it.each([
    [{ action: '' }, 'action: Required value'],
    [{ reason: undefined }, 'reason: Required value'],
    [{ eventTime: undefined }, 'eventTime: Required value'],
    [{ eventTime: '2026-01-01T00:00:00Z' }, 'eventTime'],
    [{ reportingController: 'a b' }, 'reportingController'],
    [{ reportingInstance: 'n'.repeat(129) }, 'reportingInstance: can have at most 128 characters'],
    [{ note: 'ä'.repeat(513) }, 'note: can have at most 1024 characters'],
    [{ type: 'Error' }, 'type: has invalid value: Error'],
    [{ deprecatedCount: 1 }, 'deprecatedCount: needs to be unset'],
    [{ series: { count: 1, lastObservedTime: AT } }, 'series.count: should be at least 2'],
    [{ series: { count: 2 } }, 'series.lastObservedTime: Required value'],
    [{ regarding: { kind: 'Service', namespace: 'shop', name: 'web' } }, 'involvedObject.namespace'],
    [{ metadata: { name: 'N.1' } }, 'metadata.name'],
  ])('with %j is refused', async (part, fault) => {
    const { code, body } = await ask('POST', EVENTS, { ...EVENT, ...part });
    expect(code).toBe(422);
    expect(body.message).toContain(fault);
  });

  it('that was made keeps its words', async () => {
    await ask('POST', EVENTS, EVENT);
    const { code, body } = await ask('PATCH', `${EVENTS}/n.1`, { note: 'y' }, 'application/merge-patch+json');
    expect(code).toBe(422);
    expect(body.message).toContain('note: field is immutable');
  });
});

describe('a review', () => {
  const TOKENS = '/apis/authentication.k8s.io/v1/tokenreviews';
  const ACCESS = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
  const tokenReview = (spec: object) => ask('POST', TOKENS, { kind: 'TokenReview', spec });
  const accessReview = (spec: object) => ask('POST', ACCESS, { kind: 'SubjectAccessReview', spec });

  beforeEach(() => {
    server.users = [
      { token: 't', name: 'ann', groups: ['g'], may: [{ verbs: ['get'], nonResourceURLs: ['/metrics', '/debug/*'] }] },
    ];
  });

  it('of a token tells whose it is', async () => {
    expect(await tokenReview({ token: 't' })).toMatchObject({
      code: 201,
      body: { status: { authenticated: true, user: { username: 'ann', groups: ['g', 'system:authenticated'] } } },
    });
    const { body } = await tokenReview({ token: 'other' });
    expect(body).toMatchObject({ status: { user: {}, error: expect.stringContaining('invalid bearer token') } });
    expect(body).not.toHaveProperty('status.authenticated');
    expect((await tokenReview({})).code).toBe(400);
  });

  it.each([
    ['ann', 'get', '/metrics', true],
    ['ann', 'get', '/metrics/', false],
    ['ann', 'get', '/debug/pprof', true],
    ['ann', 'put', '/metrics', false],
    ['bob', 'get', '/metrics', false],
  ])('of access: %s may %s %s: %s', async (user, verb, path, allowed) => {
    const answer = await accessReview({ user, nonResourceAttributes: { verb, path } });
    expect(answer).toMatchObject({ code: 201, body: { status: { allowed } } });
  });

  it('is refused where it asks for nothing, or for nobody', async () => {
    expect((await accessReview({ user: 'ann' })).code).toBe(422);
    expect((await accessReview({ nonResourceAttributes: { verb: 'get', path: '/' } })).code).toBe(422);
    expect((await ask('POST', TOKENS, { kind: 'SubjectAccessReview' })).code).toBe(400);
  });
});
