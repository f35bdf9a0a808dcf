import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { type Following, node, service, slice } from '../support.ts';
import { poll, useLab } from './lab.ts';

const lab = useLab({ version: 100, bookmarkEveryMs: 20 });

const gaps = (): number[] => {
  const times = lab.asked('watch').map((request) => request.at);
  return times.slice(1).map((at, i) => at - (times[i] ?? 0));
};

describe('a server that is not there', () => {
  it('is tried again and again, and complained about once in a while', async () => {
    await lab.server.stop();
    const { sink, log } = await lab.begin({ repeatLogMs: 150 });
    const complaints = () => log.lines.filter(({ level }) => level === 'warn');
    await poll(complaints).toHaveLength(1);
    expect(complaints()[0]).toMatchObject({
      message: 'objects cannot be listed yet, trying again',
      fields: { server: lab.server.url, error: expect.stringContaining('ECONNREFUSED') },
    });
    await poll(() => complaints().length).toBe(2);
    expect(complaints()[1]?.fields.repeated).toBeGreaterThan(5);
    expect(sink.calls).toEqual([]);
    lab.server.put(node());
    await lab.server.start();
    await poll(() => sink.synced).toBe(true);
    await poll(() => log.lines.filter(({ message }) => message === 'the API server answers again')).toHaveLength(1);
  });

  it('costs nothing that is known, however long it is away', async () => {
    lab.server.put(service('a'));
    const { sink, source } = await lab.synced();
    await lab.server.stop();
    const calls = sink.calls.length;
    await poll(() => source.stats.Service.watchRestarts).toBeGreaterThan(10);
    expect(sink.calls).toHaveLength(calls);
    lab.server.put(service('b'));
    await lab.server.start();
    await poll(() => sink.names('Service')).toEqual(['default/a', 'default/b']);
    expect(source.stats.Service.relists).toBe(1);
    expect(source.stats.Service.lastError).toContain('ECONNREFUSED');
  });

  it('may come back without its history: what is gone then is gone', async () => {
    for (const name of ['a', 'b', 'c']) lab.server.put(service(name));
    const { sink, source } = await lab.synced();
    lab.server.reset(1);
    lab.server.put(service('b'));
    await poll(() => sink.names('Service')).toEqual(['default/b']);
    expect(source.stats.Service.relists).toBe(2);
    expect(source.stats.Service.lastError).toContain('was at 103 before');
    lab.server.put(service('d'));
    await poll(() => sink.names('Service')).toEqual(['default/b', 'default/d']);
  });

  it('without its history is found out by its lists too', async () => {
    lab.server.inject({ fault: 'no-streaming', how: 'refuse' });
    lab.server.put(service('a'));
    const { sink } = await lab.synced();
    lab.server.inject({ fault: 'answer', status: 400, count: 1, resource: 'services', verb: 'watch' });
    lab.server.reset(1);
    await poll(() => sink.names('Service')).toEqual([]);
    const versions = lab.asked('list').map(({ query }) => query.resourceVersion);
    expect(versions).toEqual(['0', '101', undefined]);
  });
});

describe('a server that refuses', () => {
  it('with 429 is obeyed in when to come again', async () => {
    lab.server.inject({ fault: 'answer', status: 429, retryAfter: 0.15, count: 1, resource: 'services' });
    const { sink } = await lab.begin();
    await poll(() => sink.synced).toBe(true);
    expect(gaps()[0]).toBeGreaterThanOrEqual(145);
    expect(lab.asked('list')).toEqual([]);
  });

  it('is not obeyed beyond reason', async () => {
    lab.server.inject({ fault: 'answer', status: 503, retryAfter: 86_400, count: 1, resource: 'services' });
    const { sink } = await lab.begin({ retryAfterMaxMs: 30 });
    await poll(() => sink.synced).toBe(true);
  });

  it('with 401 is asked more and more seldom', async () => {
    lab.server.inject({ fault: 'answer', status: 401, count: 5, resource: 'services' });
    const { sink } = await lab.begin({ backoffFirstMs: 20, refusedMaxMs: 160 });
    await poll(() => sink.synced).toBe(true);
    const waits = gaps();
    expect(waits).toHaveLength(5);
    for (const [i, least] of [10, 20, 40, 80, 80].entries()) expect(waits[i]).toBeGreaterThanOrEqual(least - 2);
  });

  it('with 401 is asked again with what it does not believe yet', async () => {
    lab.server.token = 'other';
    const { sink, source } = await lab.begin();
    await poll(() => source.stats.Service.lastError).toContain('401 Unauthorized');
    lab.server.token = undefined;
    await poll(() => sink.synced).toBe(true);
    expect(lab.asked('list')).toEqual([]);
  });
});

describe('a connection', () => {
  it('on which nobody answers is given up', async () => {
    lab.server.inject({ fault: 'hang', count: 1, resource: 'services' });
    const { sink, source } = await lab.begin({}, { headersMs: 40 });
    await poll(() => sink.synced).toBe(true);
    expect(source.stats.Service.lastError).toBe('no answer within 40 ms');
  });

  it('that is closed instead of answered is opened again', async () => {
    lab.server.inject({ fault: 'drop', count: 3 });
    const { sink } = await lab.begin();
    await poll(() => sink.synced).toBe(true);
  });

  it('that was closed while it was idle costs no back-off', async () => {
    lab.server.inject({ fault: 'no-streaming', how: 'refuse' });
    const { connection, source } = await lab.synced();
    const { signal } = new AbortController();
    const version = async (): Promise<number | undefined> => {
      const response = await connection.request('/version', { signal });
      await once(response.resume(), 'close');
      return response.statusCode;
    };
    expect(await version()).toBe(200);
    lab.server.inject({ fault: 'drop', count: 1 });
    expect(await version()).toBe(200);
    expect(source.stats.Service.lastError).toBe('');
  });

  it('that is cut in the middle of a line loses nothing', async () => {
    const { sink, source } = await lab.synced();
    lab.server.inject({ fault: 'cut', count: 1, resource: 'services' });
    lab.server.put(service('a', { note: 'ü'.repeat(1000) }));
    lab.server.put(service('b'));
    await poll(() => sink.names('Service')).toEqual(['default/a', 'default/b']);
    expect(sink.of('Service').slice(1)).toEqual(['put Service default/a', 'put Service default/b']);
    expect(source.stats.Service).toMatchObject({ relists: 1, watchRestarts: 1 });
  });

  it('with a line of nonsense is reported and resumed, and its contents listed when that does not help', async () => {
    const { sink, source, log } = await lab.synced();
    lab.server.inject({ fault: 'malformed', count: 1, resource: 'services' });
    lab.server.put(service('a'));
    await poll(() => sink.names('Service')).toEqual(['default/a']);
    expect(source.stats.Service).toMatchObject({ relists: 1, watchRestarts: 1 });
    expect(log.lines.at(-1)?.message).toBe('the API server answers again');
    expect(log.lines.find(({ level }) => level === 'warn')?.fields.error).toContain('"object":{"kind": nonsense}}');
    lab.server.inject({ fault: 'malformed', count: 2, resource: 'services' });
    lab.server.put(service('b'));
    await poll(() => sink.names('Service')).toEqual(['default/a', 'default/b']);
    expect(source.stats.Service.relists).toBe(2);
  });

  it('whose peer is dead is noticed by the bookmarks that do not come', async () => {
    const { sink, source } = await lab.synced();
    await poll(() => source.stats.Service.lastEventAt).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 30));
    lab.server.inject({ fault: 'stall', resource: 'services' });
    lab.server.put(service('a'));
    await poll(() => sink.names('Service')).toEqual(['default/a']);
    expect(source.stats.Service).toMatchObject({ relists: 1, lastError: 'silent for 120 ms' });
  });

  it('that never had a bookmark is given up when the server should have closed it', async () => {
    lab.server.inject({ fault: 'no-streaming', how: 'refuse' });
    lab.server.inject({ fault: 'no-bookmarks' });
    const { sink, source } = await lab.synced({ watchSeconds: [0, 0], deadlineGraceMs: 60 });
    lab.server.inject({ fault: 'stall', resource: 'services' });
    lab.server.put(service('a'));
    await poll(() => sink.names('Service')).toEqual(['default/a']);
    expect(source.stats.Service.lastError).toBe('not closed by the server after 60 ms');
  });

  it('that dies while a list is on its way is no list', async () => {
    const big = 'x'.repeat(100_000);
    for (let i = 0; i < 50; i++) lab.server.put(service(`s${i}`, { big }));
    const { sink } = await lab.begin();
    await poll(() => lab.asked('watch').length > 0).toBe(true);
    lab.server.inject({ fault: 'close-connections' });
    await poll(() => sink.names('Service')?.length).toBe(50);
    expect(sink.of('Service')).toEqual(['replace Service 50']);
  });

  it('that is closed by the server at once, time and again, is not opened thousands of times', async () => {
    const { source } = await lab.synced({ shortWatchMs: 1000 });
    lab.server.inject({ fault: 'no-bookmarks' });
    for (let i = 0; i < 3; i++) {
      await poll(() => lab.server.openWatches).toBe(4);
      lab.server.inject({ fault: 'end-watches' });
    }
    await poll(() => source.stats.Service.lastError).toBe('the server closed the watch at once');
  });
});

describe('stopping', () => {
  const states: readonly (readonly [string, () => Promise<Following>])[] = [
    ['while watching', () => lab.synced()],
    [
      'while nobody answers',
      async () => {
        lab.server.inject({ fault: 'hang' });
        const started = await lab.begin();
        await poll(() => lab.server.requests.length).toBe(4);
        return started;
      },
    ],
    [
      'while waiting to try again',
      async () => {
        lab.server.inject({ fault: 'answer', status: 429, retryAfter: 60 });
        const started = await lab.begin();
        await poll(() => started.log.lines.length).toBeGreaterThan(1);
        return started;
      },
    ],
    ['before it began', () => lab.begin()],
  ];

  it.each(states)('%s leaves neither sockets nor timers', async (_, reach) => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    lab.server.put(slice('a'));
    const before = timers();
    const started = await reach();
    await started.stop();
    await poll(() => lab.server.openConnections).toBe(0);
    await poll(timers).toBeLessThanOrEqual(before + 1); // the poll's own
    const calls = started.sink.calls.length;
    lab.server.put(slice('b'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(started.sink.calls).toHaveLength(calls);
  });
});
