/** What the cluster says of a token, asked at an API server of our own: remembered for a while, bounded, and never open. */
import pino from 'pino';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { LabUser } from '../../../src/lab/apiserver/reviews.ts';
import { ApiServer } from '../../../src/lab/apiserver/server.ts';
import { type ApiConnection, openConnection } from '../../../src/sources/apiserver/connection.ts';
import { type ReviewLimits, Reviews } from '../../../src/sources/apiserver/reviews.ts';

const MAY = [{ verbs: ['get'], nonResourceURLs: ['/status', '/debug/*'] }];
const USERS: readonly LabUser[] = [
  {
    token: 'secret-good',
    name: 'system:serviceaccount:monitoring:prometheus',
    groups: ['system:serviceaccounts'],
    may: MAY,
  },
  { token: 'secret-other', name: 'bob' },
];

let server: ApiServer;
let connection: ApiConnection;
const lines: string[] = [];
const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });

beforeEach(async () => {
  lines.length = 0;
  server = new ApiServer({ users: USERS });
  await server.start();
  connection = await openConnection({ kubeconfig: '', master: server.url, version: '1', log });
  return async () => {
    connection.close();
    await server.stop();
  };
});

const bench = (limits: Partial<ReviewLimits> = {}) => {
  const clock = { now: 1_000_000 };
  const reviews = new Reviews({ connection, log, limits, now: () => clock.now });
  onTestFinished(() => reviews.stop());
  const ask = (token: string, path = '/status', verb = 'get') => reviews.authorize({ token, path, verb });
  return { clock, ask, reviews };
};

const posts = (): number => server.requests.filter(({ method }) => method === 'POST').length;

describe('the cluster', () => {
  it.each([
    ['secret-good', '/status', 'get', 'allowed'],
    ['secret-good', '/debug/pprof/profile', 'get', 'allowed'],
    ['secret-good', '/debug/flags/v', 'put', 'forbidden'],
    ['secret-good', '/rules', 'get', 'forbidden'],
    ['secret-other', '/status', 'get', 'forbidden'],
    ['made-up', '/status', 'get', 'unknown-token'],
  ])('says of %s at %s (%s): %s', async (token, path, verb, verdict) => {
    expect(await bench().ask(token, path, verb)).toBe(verdict);
  });

  it('is asked nothing about rights of a token that it does not know', async () => {
    await bench().ask('made-up');
    expect(server.requests.map(({ resource, verb }) => `${verb} ${resource}`)).toEqual(['create tokenreviews']);
  });
});

describe('a verdict', () => {
  it('counts for a minute where it allows, ten seconds where it does not', async () => {
    const { clock, ask } = bench();
    expect(await ask('secret-good')).toBe('allowed');
    expect(await ask('secret-other')).toBe('forbidden');
    expect(posts()).toBe(4);
    server.users = USERS.map((user) => ({ ...user, may: user.name === 'bob' ? MAY : [] }));
    clock.now += 9_999;
    expect([await ask('secret-good'), await ask('secret-other')]).toEqual(['allowed', 'forbidden']);
    expect(posts()).toBe(4);
    clock.now += 1;
    expect([await ask('secret-good'), await ask('secret-other')]).toEqual(['allowed', 'allowed']);
    clock.now += 50_000;
    expect(await ask('secret-good')).toBe('forbidden');
  });

  it('is asked for once by those who come together', async () => {
    const { ask } = bench();
    expect(await Promise.all(Array.from({ length: 50 }, () => ask('secret-good')))).toEqual(Array(50).fill('allowed'));
    expect(posts()).toBe(2);
  });

  it('is not forgotten for the tokens that somebody makes up', async () => {
    const { ask } = bench({ remembered: 3, burst: 1_000 });
    await ask('secret-good');
    for (let i = 0; i < 20; i += 1) await ask(`made-up-${i}`);
    const before = posts();
    expect(await ask('secret-good')).toBe('allowed');
    expect(posts()).toBe(before);
    await ask('made-up-0');
    expect(posts()).toBe(before + 1);
  });
});

describe('however many tokens are made up', () => {
  it('so many questions come together and then a few a second', async () => {
    const { clock, ask } = bench({ burst: 3, everyMs: 1_000 });
    const verdicts: string[] = [];
    for (let i = 0; i < 10; i += 1) verdicts.push(await ask(`a${i}`));
    expect(verdicts).toEqual([...Array(3).fill('unknown-token'), ...Array(7).fill('unavailable')]);
    clock.now += 1_000;
    expect([await ask('a8'), await ask('a9')]).toEqual(['unknown-token', 'unavailable']);
  });

  it('so many are under way at once', async () => {
    server.inject({ fault: 'hang' });
    const { ask, reviews } = bench({ atOnce: 2 });
    const hanging = [ask('a'), ask('b')];
    expect(await ask('c')).toBe('unavailable');
    reviews.stop();
    expect(await Promise.all(hanging)).toEqual(['unavailable', 'unavailable']);
  });
});

describe('an API server that does not answer as it should opens nothing', () => {
  it.each([
    ['403', () => server.inject({ fault: 'answer', status: 403, resource: 'tokenreviews' })],
    [
      '403 on the second question',
      () => server.inject({ fault: 'answer', status: 403, resource: 'subjectaccessreviews' }),
    ],
    ['500', () => server.inject({ fault: 'answer', status: 500 })],
    ['no answer', () => server.inject({ fault: 'hang' })],
    ['a cut connection', () => server.inject({ fault: 'drop' })],
    ['nobody there', () => server.stop()],
  ])('%s', async (_, spoil) => {
    const { ask, clock } = bench({ withinMs: 200 });
    await spoil();
    expect(await ask('secret-good')).toBe('unavailable');
    expect(await ask('secret-good')).toBe('unavailable');
    const said = lines.filter((line) => line.includes('cannot be asked about a token'));
    expect(said).toHaveLength(1);
    if (server.openConnections > 0) server.clearFaults();
    else await vi.waitFor(() => server.stop().then(() => server.start()));
    server.clearFaults();
    clock.now += 1;
    expect(await ask('secret-good')).toBe('allowed');
  });

  it('also when it had allowed before, once that is over', async () => {
    const { ask, clock } = bench({ withinMs: 200 });
    expect(await ask('secret-good')).toBe('allowed');
    server.inject({ fault: 'answer', status: 503 });
    expect(await ask('secret-good')).toBe('allowed');
    clock.now += 60_000;
    expect(await ask('secret-good')).toBe('unavailable');
  });

  it('and no line holds a token', async () => {
    const { ask } = bench({ withinMs: 100 });
    server.inject({ fault: 'answer', status: 500, count: 1 });
    for (const token of ['secret-good', 'secret-other', 'secret-unknown']) await ask(token);
    expect(lines.join('')).not.toContain('secret');
  });
});
