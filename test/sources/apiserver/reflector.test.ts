import { describe, expect, it } from 'vitest';
import { service, slice } from '../support.ts';
import { poll, useLab } from './lab.ts';

const lab = useLab({ version: 100, bookmarkEveryMs: 30 });

describe('a watch', () => {
  it('hands over events in their order', async () => {
    const { sink } = await lab.synced();
    for (let i = 0; i < 50; i++) {
      lab.server.put(service('web', { round: i }));
      if (i % 10 === 9) lab.server.delete('Service', 'default', 'web');
    }
    await poll(() => sink.of('Service').length).toBe(56);
    const round = [...Array(10).fill('put Service default/web'), 'remove Service default/web'];
    expect(sink.of('Service').slice(1)).toEqual([...round, ...round, ...round, ...round, ...round]);
  });

  it('resumes where it was when the server closes it, at once and without a list', async () => {
    const { sink, source } = await lab.synced();
    lab.server.put(service('a'));
    await poll(() => sink.names('Service')).toEqual(['default/a']);
    lab.server.inject({ fault: 'no-bookmarks' });
    lab.server.inject({ fault: 'end-watches', resource: 'services' });
    lab.server.put(service('b'));
    await poll(() => sink.names('Service')).toEqual(['default/a', 'default/b']);
    expect(lab.asked('list')).toEqual([]);
    expect(lab.asked('watch')[1]?.query).toMatchObject({ resourceVersion: '101' });
    expect(lab.asked('watch')[1]?.query).not.toHaveProperty('sendInitialEvents');
    expect(source.stats.Service).toMatchObject({ relists: 1, watchRestarts: 1, lastError: '' });
  });

  it("resumes from the latest bookmark, so that other objects' changes do not make it stale", async () => {
    await lab.synced();
    for (let i = 0; i < 20; i++) lab.server.put(slice('busy', [`10.1.0.${i}`]));
    const watching = lab.asked('watch').length;
    await new Promise((resolve) => setTimeout(resolve, 60));
    lab.server.compact();
    lab.server.inject({ fault: 'end-watches', abrupt: true, resource: 'services' });
    await poll(() => lab.asked('watch').length).toBe(watching + 1);
    expect(lab.asked('watch').at(-1)?.query).toMatchObject({ resourceVersion: '120' });
    expect(lab.asked('list')).toEqual([]);
  });

  it('lists afresh after an ERROR event with 410', async () => {
    lab.refuseStreaming();
    lab.server.put(service('gone'));
    const { sink, source } = await lab.synced();
    lab.server.inject({ fault: 'no-bookmarks' });
    await lab.server.stop();
    lab.server.delete('Service', 'default', 'gone');
    lab.server.put(service('new'));
    lab.server.compact();
    await lab.server.start();
    await poll(() => sink.names('Service')).toEqual(['default/new']);
    expect(sink.of('Service')).toEqual(['replace Service 1', 'replace Service 1']);
    expect(lab.asked('list').at(-1)?.query).not.toHaveProperty('resourceVersion');
    expect(source.stats.Service.relists).toBe(2);
  });

  it('lists afresh after an answer of 410', async () => {
    const { source } = await lab.synced();
    lab.server.inject({ fault: 'answer', status: 410, count: 1, resource: 'services', verb: 'watch' });
    lab.server.inject({ fault: 'end-watches', resource: 'services' });
    await poll(() => source.stats.Service.relists).toBe(2);
    expect(lab.asked('watch').at(-1)?.query).toMatchObject({ sendInitialEvents: 'true' });
    expect(lab.asked('watch').at(-1)?.query).not.toHaveProperty('resourceVersion');
  });

  it('resumes after another ERROR event, and lists again when that does not help', async () => {
    const { sink, source } = await lab.synced();
    lab.server.inject({ fault: 'error-event', status: 500, count: 2, resource: 'services' });
    lab.server.put(service('a'));
    await poll(() => sink.names('Service')).toEqual(['default/a']);
    expect(lab.asked('watch')[1]?.query).toMatchObject({ resourceVersion: '100' });
    expect(lab.asked('watch')[2]?.query).toMatchObject({ resourceVersion: '100', sendInitialEvents: 'true' });
    expect(source.stats.Service.relists).toBe(2);
  });

  it('sees objects enter and leave its selection', async () => {
    const { sink } = await lab.synced();
    lab.server.put(service('web', { clusterIP: 'None' }));
    lab.server.put(service('web'));
    lab.server.put(service('web', {}, { 'service.kubernetes.io/service-proxy-name': 'x' }));
    await poll(() => sink.of('Service')).toEqual([
      'replace Service 0',
      'put Service default/web',
      'remove Service default/web',
    ]);
  });

  it('survives a sink that throws, and says so', async () => {
    const { sink, log } = await lab.synced();
    const put = sink.put.bind(sink);
    sink.put = (kind, object) => {
      sink.put = put;
      throw new Error(`no ${kind} ${typeof object}`);
    };
    lab.server.put(service('a'));
    lab.server.put(service('b'));
    await poll(() => sink.names('Service')).toEqual(['default/b']);
    expect(log.lines.filter(({ level }) => level === 'error')).toMatchObject([
      { message: 'objects were not taken over' },
    ]);
  });

  it('stays on few connections, and leaves none open', async () => {
    const following = await lab.synced();
    const { sink } = following;
    for (let i = 0; i < 5; i++) {
      lab.server.inject({ fault: 'end-watches' });
      expect(lab.server.openWatches).toBe(0);
      await poll(() => lab.server.openWatches).toBe(4);
    }
    lab.server.put(service('a'));
    await poll(() => sink.names('Service')).toEqual(['default/a']);
    expect(lab.asked('watch')).toHaveLength(6);
    expect(lab.server.requests.every((request) => request.userAgent === 'pointsman/1.2.3')).toBe(true);
    expect(lab.server.acceptedConnections).toBe(4);
    await following.stop();
    await poll(() => lab.server.openConnections).toBe(0);
    expect(lab.server.openWatches).toBe(0);
  });
});
