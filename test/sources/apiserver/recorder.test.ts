/** Events over real HTTP: that they arrive, how often, and what becomes of them when they cannot. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ApiServer } from '../../../src/lab/apiserver/server.ts';
import type { StoredObject } from '../../../src/lab/apiserver/store.ts';
import { type ApiConnection, openConnection } from '../../../src/sources/apiserver/connection.ts';
import type { EventText } from '../../../src/sources/apiserver/event.ts';
import { EventRecorder, type RecorderTiming } from '../../../src/sources/apiserver/recorder.ts';
import { collectLog, service } from '../support.ts';

const NODE = { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'node-1' };
const FAST: RecorderTiming = { withinMs: 1_000, backoffFirstMs: 5, backoffMaxMs: 10, shutdownGraceMs: 150 };

const event = (parts: Partial<EventText> = {}): EventText => ({
  type: 'Normal',
  reason: 'Starting',
  action: 'Start',
  note: 'it starts',
  regarding: NODE,
  ...parts,
});

let server: ApiServer;
let connection: ApiConnection;
let log: ReturnType<typeof collectLog>;
let recorder: EventRecorder;
let now: number;
/** How far somebody has set the wall clock. */
let jump: number;

beforeEach(async () => {
  server = new ApiServer();
  await server.start();
  log = collectLog();
  now = Date.parse('2026-01-01T00:00:00Z');
  jump = 0;
  connection = await openConnection({ kubeconfig: '', master: server.url, version: '1', log });
  recorder = new EventRecorder({
    connection,
    instance: 'node-1',
    log,
    timing: FAST,
    now: () => now + jump,
    clock: () => now,
  });
});

afterEach(async () => {
  await recorder.stop();
  connection.close();
  await server.stop();
});

const events = (): readonly StoredObject[] => server.objects('Event');
const asked = (verb: string): number =>
  server.requests.filter((request) => request.resource === 'events' && request.verb === verb).length;
const settled = (counts: Partial<EventRecorder['counts']>): Promise<void> =>
  vi.waitFor(() => expect(recorder.counts).toMatchObject(counts), { timeout: 5_000, interval: 5 });

type Reply = number | { readonly code: number; readonly status: object } | undefined;

/** A recorder whose way to the server leads over somebody who decides on answers; undefined = none, the line is cut. */
const behind = async (
  decide: (asks: number, forward: () => Promise<number>) => Promise<Reply>,
): Promise<EventRecorder> => {
  let asks = 0;
  const middle = createServer(async (request, response) => {
    const { method = '', url = '' } = request;
    const body = await text(request);
    let answer = '{}';
    asks += 1;
    const reply = await decide(asks, async () => {
      const forwarded = await fetch(server.url + url, { method, body });
      answer = await forwarded.text();
      return forwarded.status;
    });
    if (reply === undefined) return request.socket.destroy();
    if (typeof reply === 'object') answer = JSON.stringify(reply.status);
    return response.writeHead(typeof reply === 'object' ? reply.code : reply).end(answer);
  });
  await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve));
  const master = `http://127.0.0.1:${(middle.address() as AddressInfo).port}`;
  const other = await openConnection({ kubeconfig: '', master, version: '1', log });
  onTestFinished(() => {
    other.close();
    middle.close();
  });
  return new EventRecorder({ connection: other, instance: 'node-1', log, timing: FAST });
};

describe('an Event', () => {
  it('is made in the words of the API', async () => {
    recorder.record(event({ type: 'Warning', note: 'x'.repeat(2_000) }));
    await settled({ written: 1 });
    const [made, ...more] = events();
    expect(more).toEqual([]);
    expect(made).toMatchObject({
      apiVersion: 'events.k8s.io/v1',
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'pointsman',
      reportingInstance: 'node-1',
      type: 'Warning',
      reason: 'Starting',
      action: 'Start',
      regarding: NODE,
      metadata: { namespace: 'default' },
    });
    expect(made?.metadata.name).toMatch(/^node-1\.[0-9a-f]{16}$/);
    expect(Buffer.byteLength(String(made?.note))).toBe(1_024);
  });

  it('that repeats is one with a count, and a new one when it comes again later', async () => {
    recorder.record(event());
    await settled({ written: 1 });
    now += 60_000;
    recorder.record(event());
    await settled({ written: 2 });
    expect(events()).toHaveLength(1);
    expect(events()[0]?.series).toEqual({ count: 2, lastObservedTime: '2026-01-01T00:01:00.000000Z' });
    now += 360_001;
    recorder.record(event());
    await settled({ written: 3 });
    expect(events()).toHaveLength(2);
    expect([asked('create'), asked('patch')]).toEqual([2, 1]);
  });

  it.each([86_400_000, -86_400_000])('goes on in its series when the wall clock is set by %i ms', async (ms) => {
    for (const written of [1, 2]) {
      recorder.record(event());
      await settled({ written });
      jump = ms;
    }
    expect(events()).toHaveLength(1);
    expect(events()[0]?.series).toMatchObject({ count: 2 });
    now += 360_001;
    recorder.record(event());
    await settled({ written: 3 });
    expect(events()).toHaveLength(2);
  });

  it('that is different in any word is another one', async () => {
    recorder.record(event());
    recorder.record(event({ note: 'it starts again' }));
    recorder.record(event({ regarding: { ...NODE, name: 'node-2' } }));
    await settled({ written: 3 });
    expect(new Set(events().map(({ metadata }) => metadata.name)).size).toBe(3);
  });

  it('that repeats before it was written is written once, with its count', async () => {
    for (let i = 0; i < 5; i += 1) recorder.record(event());
    await settled({ written: 1 });
    await recorder.stop();
    expect(events()).toHaveLength(1);
    expect(events()[0]?.series).toMatchObject({ count: 5 });
    expect(asked('patch')).toBe(0);
  });

  it('that the API server has forgotten meanwhile is made again', async () => {
    recorder.record(event());
    await settled({ written: 1 });
    const [first] = events();
    await fetch(`${server.url}/apis/events.k8s.io/v1/namespaces/default/events/${first?.metadata.name}`, {
      method: 'DELETE',
    });
    recorder.record(event());
    await settled({ written: 2 });
    expect(events()[0]).toMatchObject({ note: 'it starts', series: { count: 2 } });
  });

  it('about a Service stands in its namespace, under the uid that it has', async () => {
    const { metadata } = server.put(service('web'));
    const regarding = { apiVersion: 'v1', kind: 'Service', namespace: 'default', name: 'web' };
    recorder.record(event({ regarding, related: NODE }));
    recorder.record(event({ regarding: { ...regarding, name: 'gone' } }));
    await settled({ written: 2 });
    expect(events().map((made) => made.regarding)).toEqual(
      expect.arrayContaining([
        { ...regarding, uid: metadata.uid },
        { ...regarding, name: 'gone' },
      ]),
    );
    expect(events().map(({ related }) => related)).toContainEqual(NODE);
  });
});

describe('too many', () => {
  it('about one object are held back, those about others are not; the count goes on', async () => {
    for (let i = 0; i < 30; i += 1) recorder.record(event({ note: `note ${i}` }));
    recorder.record(event({ regarding: { ...NODE, name: 'node-2' } }));
    await settled({ written: 26, limited: 5 });
    now += 300_000;
    recorder.record(event({ note: 'note 0' }));
    await settled({ written: 27 });
    expect(events().find(({ note }) => note === 'note 0')?.series).toMatchObject({ count: 2 });
  });

  it('while nothing can be written are lost, and what waits is bounded', async () => {
    server.inject({ fault: 'hang', resource: 'events' });
    for (let i = 0; i < 500; i += 1) recorder.record(event({ regarding: { ...NODE, name: `node-${i}` } }));
    expect(recorder.counts.lost).toBe(400); // a hundred wait
  });
});

describe('trouble', () => {
  it.each([
    ['an error', { fault: 'answer', status: 500, count: 3 }],
    ['too many requests', { fault: 'answer', status: 429, count: 2 }],
    ['a connection that breaks', { fault: 'drop', count: 3 }],
    ['an answer that does not come', { fault: 'hang', count: 1 }],
  ] as const)('%s: tried again', async (_, fault) => {
    server.inject({ ...fault, resource: 'events' });
    recorder.record(event());
    await settled({ written: 1, lost: 0 });
    expect(events()).toHaveLength(1);
  });

  it('a server that asks for some patience has it', async () => {
    const patient = new EventRecorder({ connection, instance: 'n', log, timing: { ...FAST, backoffMaxMs: 5_000 } });
    server.inject({ fault: 'answer', status: 429, retryAfter: 1, resource: 'events', count: 1 });
    patient.record(event());
    await vi.waitFor(() => expect(patient.counts).toMatchObject({ written: 1 }), { timeout: 5_000 });
    const [first, second] = server.requests.filter(({ resource }) => resource === 'events');
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(950);
  });

  it('that lasts: lost after twelve tries, and the next one gets its own', async () => {
    server.inject({ fault: 'answer', status: 500, resource: 'events', count: 12 });
    recorder.record(event());
    recorder.record(event({ note: 'next' }));
    await settled({ written: 1, lost: 1 });
    expect(events().map(({ note }) => note)).toEqual(['next']);
    expect(asked('create')).toBe(13);
  });

  it('an answer that gets lost makes no second Event', async () => {
    const there = await behind(async (_, forward) => {
      const code = await forward();
      return events().length === 1 && code === 201 ? undefined : code;
    });
    there.record(event());
    await vi.waitFor(() => expect(there.counts).toMatchObject({ written: 1, lost: 0 }));
    expect(events()).toHaveLength(1);
    expect(asked('create')).toBe(2); // the second one is told that there is such an Event
  });

  it('an Event that is refused is left out, and others are not', async () => {
    server.inject({ fault: 'answer', status: 422, resource: 'events', count: 1 });
    recorder.record(event());
    recorder.record(event({ note: 'next' }));
    await settled({ written: 1, lost: 1 });
    expect(asked('create')).toBe(2);
    expect(log.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: expect.stringContaining('refused') }),
    );
  });

  it('the right that is missing is said once, and then nothing is asked any more', async () => {
    server.inject({ fault: 'answer', status: 403, resource: 'events' });
    recorder.record(event());
    recorder.record(event({ note: 'waits' }));
    await settled({ lost: 2 });
    recorder.record(event({ note: 'later' }));
    await recorder.stop();
    expect(asked('create')).toBe(1);
    expect(log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
      'the API server lets us write no Events: from now on there are none',
    ]);
  });

  it('a namespace that is about to go is no missing right', async () => {
    const status = { reason: 'Forbidden', details: { causes: [{ reason: 'NamespaceTerminating' }] } };
    const there = await behind(async (asks, forward) => (asks === 1 ? { code: 403, status } : forward()));
    there.record(event());
    there.record(event({ note: 'next' }));
    await vi.waitFor(() => expect(there.counts).toMatchObject({ written: 1, lost: 1 }));
  });
});

describe('the end', () => {
  it('waits for what is still to be told', async () => {
    const patient = new EventRecorder({ connection, instance: 'n', log, timing: { ...FAST, shutdownGraceMs: 5_000 } });
    server.inject({ fault: 'delay', ms: 50, resource: 'events' });
    patient.record(event());
    patient.record(event({ note: 'next' }));
    await patient.stop();
    expect(events()).toHaveLength(2);
  });

  it('does not wait for long', async () => {
    server.inject({ fault: 'hang', resource: 'events' });
    for (let i = 0; i < 20; i += 1) recorder.record(event({ note: `note ${i}` }));
    const startedAt = performance.now();
    await recorder.stop();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(recorder.counts).toMatchObject({ written: 0, lost: 20 });
    recorder.record(event({ note: 'too late' }));
    expect(recorder.counts.lost).toBe(20);
  });
});
