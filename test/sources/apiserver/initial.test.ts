import { describe, expect, it } from 'vitest';
import { NODE, node, type RecordingSink, service, serviceCIDR, slice } from '../support.ts';
import { poll, useLab } from './lab.ts';

const lab = useLab({ version: 100, bookmarkEveryMs: 30 });

describe('the first contents', () => {
  const fill = (): void => {
    lab.server.put(node());
    lab.server.put(node('another'));
    lab.server.put(serviceCIDR('kubernetes'));
    lab.server.put(service('web'));
    lab.server.put(service('headless', { clusterIP: 'None' }));
    lab.server.put(service('foreign', {}, { 'service.kubernetes.io/service-proxy-name': 'x' }));
    lab.server.put(slice('web-1'));
    lab.server.put(slice('headless-1', [], { 'service.kubernetes.io/headless': '' }));
  };

  const expectFilled = (sink: RecordingSink): void => {
    expect(sink.names('Node')).toEqual([NODE]);
    expect(sink.names('ServiceCIDR')).toEqual(['kubernetes']);
    expect(sink.names('Service')).toEqual(['default/web']);
    expect(sink.names('EndpointSlice')).toEqual(['default/web-1']);
    expect([...sink.calls].sort()).toEqual([
      'replace EndpointSlice 1',
      'replace Node 1',
      'replace Service 1',
      'replace ServiceCIDR 1',
    ]);
  };

  it('come as a streaming list that goes on as a watch', async () => {
    fill();
    const { sink, source } = await lab.synced();
    expectFilled(sink);
    expect(lab.server.requests.map((request) => request.verb)).toEqual(['watch', 'watch', 'watch', 'watch']);
    expect(lab.asked('watch')[0]?.query).toEqual({
      watch: 'true',
      labelSelector: '!service.kubernetes.io/service-proxy-name',
      fieldSelector: 'spec.clusterIP!=None',
      allowWatchBookmarks: 'true',
      resourceVersionMatch: 'NotOlderThan',
      sendInitialEvents: 'true',
      timeoutSeconds: '450',
    });
    lab.server.put(service('api'));
    await poll(() => sink.names('Service')).toEqual(['default/api', 'default/web']);
    expect(source.stats.Service).toMatchObject({ relists: 1, watchRestarts: 0, lastError: '' });
    expect(performance.now() - source.stats.Service.lastEventAt).toBeLessThan(5000);
  });

  it('come as a list from a server that refuses to stream, once and for all', async () => {
    fill();
    lab.refuseStreaming();
    const { sink, source } = await lab.synced({ missingRetryMs: 60_000 });
    expectFilled(sink);
    expect(lab.asked('list')[0]?.query).toMatchObject({ resourceVersion: '0', limit: '500' });
    expect(lab.asked('watch')[1]?.query).toMatchObject({ resourceVersion: '108', allowWatchBookmarks: 'true' });
    lab.server.compact();
    lab.server.put(service('api'));
    lab.server.compact();
    lab.server.inject({ fault: 'error-event', status: 410, count: 1, resource: 'services' });
    lab.server.put(service('late'));
    await poll(() => source.stats.Service.relists).toBe(2);
    expect(lab.asked('list')[1]?.query.resourceVersion).toBeUndefined();
    expect(lab.asked('watch').filter((request) => 'sendInitialEvents' in request.query)).toHaveLength(1);
    await poll(() => sink.names('Service')).toEqual(['default/api', 'default/late', 'default/web']);
  });

  it.each([400, 403])('come as a list when streaming is answered with %d', async (status) => {
    fill();
    lab.server.inject({ fault: 'no-streaming', how: 'refuse', status });
    const { sink } = await lab.synced();
    expectFilled(sink);
  });

  it('stream all the same when everything was forbidden at first', async () => {
    fill();
    lab.server.inject({ fault: 'answer', status: 403, count: 10, resource: 'services' });
    const { sink } = await lab.synced();
    expectFilled(sink);
    const last = lab.asked('watch').at(-1);
    expect(last?.query).toMatchObject({ sendInitialEvents: 'true' });
  });

  it('come as a list from a server that does not know the parameter, found out by its silence', async () => {
    fill();
    lab.server.inject({ fault: 'no-streaming', how: 'ignore' });
    lab.server.inject({ fault: 'no-bookmarks' });
    const { sink, log } = await lab.synced({ initialSilenceMs: 40 });
    expectFilled(sink);
    expect(log.lines.filter(({ message }) => message.includes('no streaming'))).toEqual([]);
  });

  it('come as a list from a server that does not know the parameter, found out by a plain bookmark', async () => {
    fill();
    lab.server.inject({ fault: 'no-streaming', how: 'ignore' });
    const { sink, log } = await lab.synced();
    expectFilled(sink);
    expect(log.lines.some(({ message }) => message.includes('no streaming lists'))).toBe(true);
  });

  it('come in pages, though never at a version of our own', async () => {
    lab.refuseStreaming();
    for (let i = 0; i < 1203; i++) lab.server.put(service(`s${i}`));
    const { sink, source } = await lab.synced({ missingRetryMs: 60_000 });
    expect(sink.of('Service')).toEqual(['replace Service 1203']);
    expect(lab.asked('list').map(({ query }) => [query.limit, query.resourceVersion, 'continue' in query])).toEqual([
      ['500', '0', false],
      ['500', undefined, true],
      ['500', undefined, true],
    ]);
    for (const status of [400, 400])
      lab.server.inject({ fault: 'answer', status, count: 1, resource: 'services', verb: 'watch' });
    lab.server.inject({ fault: 'end-watches', resource: 'services' });
    await poll(() => source.stats.Service.relists).toBe(3);
    expect(lab.asked('list').at(-1)?.query).toMatchObject({ resourceVersion: '1303' });
    expect(lab.asked('list').at(-1)?.query.limit).toBeUndefined();
    expect(sink.names('Service')).toHaveLength(1203);
  });

  it('are asked for again, in one piece, when their pages expire', async () => {
    lab.refuseStreaming();
    for (let i = 0; i < 700; i++) lab.server.put(service(`s${i}`));
    lab.server.inject({ fault: 'delay', ms: 40, count: 2, resource: 'services', verb: 'list' });
    const { sink } = await lab.begin();
    await poll(() => lab.asked('list').length).toBe(2);
    lab.server.put(service('more'));
    lab.server.compact();
    await poll(() => sink.names('Service')).toHaveLength(701);
    expect(sink.of('Service')).toEqual(['replace Service 701']);
    expect(lab.asked('list').map(({ query }) => query.limit)).toEqual(['500', '500', undefined]);
  });

  it('have no bookkeeping of who wrote what', async () => {
    const managed = { ...service('web'), metadata: { namespace: 'default', name: 'web', managedFields: [{}] } };
    lab.server.put(managed);
    const { sink } = await lab.synced();
    lab.server.put({ ...managed, metadata: { ...managed.metadata, name: 'api' } });
    await poll(() => sink.names('Service')).toHaveLength(2);
    for (const object of sink.contents.get('Service')?.values() ?? []) {
      expect(object).not.toHaveProperty('metadata.managedFields');
    }
  });

  it('of a resource that an old cluster lacks are empty, and looked for again', async () => {
    lab.server.inject({ fault: 'answer', status: 404, resource: 'servicecidrs' });
    const { sink, log, source } = await lab.begin();
    await poll(() => sink.synced).toBe(true);
    expect(sink.of('ServiceCIDR')).toEqual(['replace ServiceCIDR 0']);
    expect(source.missing()).toEqual([{ what: 'ServiceCIDRs', why: expect.stringContaining('404'), isExpected: true }]);
    await poll(() => lab.asked('list', 'servicecidrs').length).toBeGreaterThan(1);
    lab.server.put(serviceCIDR('late'));
    lab.server.clearFaults();
    await poll(() => sink.names('ServiceCIDR')).toEqual(['late']);
    expect(sink.of('ServiceCIDR').filter((call) => call.startsWith('replace'))).toHaveLength(2);
    expect(log.lines.filter(({ message }) => message.includes('lacks the resource'))).toHaveLength(1);
    expect(source.stats.ServiceCIDR.lastError).toBe('');
  });

  const withheld = [
    ['forbidden', { fault: 'answer', status: 403, resource: 'servicecidrs' }, 'Forbidden'],
    ['never answered', { fault: 'hang', resource: 'servicecidrs' }, 'does not answer'],
  ] as const;

  it.each(withheld)(
    'of an optional resource that is %s are empty after a while, and asked for again',
    async (_, fault, why) => {
      lab.server.inject(fault);
      const { sink, log, source } = await lab.begin({}, { headersMs: 300 });
      await poll(() => sink.synced).toBe(true);
      expect(sink.of('ServiceCIDR')).toEqual(['replace ServiceCIDR 0']);
      expect(source.missing()).toEqual([{ what: 'ServiceCIDRs', why: expect.stringContaining(why) }]);
      const lines = log.lines.length;
      await new Promise((resolve) => setTimeout(resolve, 400));
      expect(log.lines.slice(lines).filter(({ level }) => level !== 'info')).toEqual([]);
      lab.server.put(serviceCIDR('late'));
      lab.server.clearFaults();
      await poll(() => sink.names('ServiceCIDR')).toEqual(['late']);
      expect(source.missing()).toEqual([]);
    },
  );

  it('of the Node are waited for longer, and those of what must be there for ever', async () => {
    lab.server.inject({ fault: 'answer', status: 403, resource: 'nodes' });
    lab.server.inject({ fault: 'answer', status: 403, resource: 'services' });
    const { sink, source } = await lab.begin({ optionalWaitMs: 20, wantedWaitMs: 100 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sink.names('Node')).toBeUndefined();
    lab.server.clearFaults();
    lab.server.inject({ fault: 'answer', status: 403, resource: 'nodes' });
    await poll(() => sink.names('Service')).toEqual([]);
    await poll(() => sink.names('Node')).toEqual([]);
    expect(source.missing()).toMatchObject([{ what: 'Nodes' }]);
  });

  it('of what was here once are not taken away when it is forbidden', async () => {
    lab.server.put(serviceCIDR('kubernetes'));
    const { sink, source } = await lab.synced();
    lab.server.inject({ fault: 'answer', status: 403, resource: 'servicecidrs' });
    lab.server.inject({ fault: 'end-watches', abrupt: true });
    await poll(() => source.stats.ServiceCIDR.lastError).toContain('403');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(sink.names('ServiceCIDR')).toEqual(['kubernetes']);
    expect(source.missing()).toEqual([]);
  });

  it('stream again when a refusal is long ago', async () => {
    lab.refuseStreaming();
    await lab.synced({ missingRetryMs: 100 });
    lab.server.clearFaults();
    await new Promise((resolve) => setTimeout(resolve, 120));
    lab.server.inject({ fault: 'answer', status: 410, count: 1, resource: 'services', verb: 'watch' });
    lab.server.inject({ fault: 'end-watches', resource: 'services' });
    await poll(() => lab.asked('watch').at(-1)?.query).toMatchObject({ sendInitialEvents: 'true' });
  });
});
