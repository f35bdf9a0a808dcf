/** The removal of a taint over real HTTP: nothing but that taint, whatever others do at the same time. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiServer } from '../../../src/lab/apiserver/server.ts';
import { type ApiConnection, openConnection } from '../../../src/sources/apiserver/connection.ts';
import { removeTaint } from '../../../src/sources/apiserver/taint.ts';
import { collectLog } from '../support.ts';

const KEY = 'pointsman.dev/not-ready';
const OURS = { key: KEY, value: 'true', effect: 'NoSchedule' };
const OTHER = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: '2026-01-01T00:00:00Z' };
const timing = { withinMs: 1_000, backoffFirstMs: 5, backoffMaxMs: 10 };

let server: ApiServer;
let connection: ApiConnection;
let log: ReturnType<typeof collectLog>;
let stop: AbortController;

beforeEach(async () => {
  server = new ApiServer();
  await server.start();
  log = collectLog();
  stop = new AbortController();
  connection = await openConnection({ kubeconfig: '', master: server.url, version: '1', log });
});

afterEach(async () => {
  stop.abort();
  connection.close();
  await server.stop();
});

const put = (taints: readonly object[] | undefined, labels = {}) =>
  server.put({
    kind: 'Node',
    metadata: { name: 'n', labels },
    spec: { podCIDR: '10.0.0.0/24', ...(taints && { taints }) },
  });
const spec = (): unknown => server.get('Node', '', 'n')?.spec;
const remove = (): Promise<boolean> => removeTaint({ connection, nodeName: 'n', key: KEY, log, timing }, stop.signal);
const patches = (): number => server.requests.filter(({ verb }) => verb === 'patch').length;

describe('the taint', () => {
  it.each([
    [[OURS], undefined],
    [[OURS, { ...OURS, effect: 'NoExecute' }], undefined],
    [[OTHER, OURS], [OTHER]],
    [
      [OURS, { key: `${KEY}-2`, effect: 'NoSchedule' }, OTHER],
      [{ key: `${KEY}-2`, effect: 'NoSchedule' }, OTHER],
    ],
  ])('goes by its key, with every value and effect, and no other does: %j', async (taints, left) => {
    put(taints);
    expect(await remove()).toBe(true);
    expect(spec()).toEqual({ podCIDR: '10.0.0.0/24', ...(left && { taints: left }) });
    expect(patches()).toBe(1);
  });

  it.each([[undefined], [[]], [[OTHER]]])('that is not there is no reason to write: %j', async (taints) => {
    const { metadata } = put(taints);
    expect(await remove()).toBe(false);
    expect(patches()).toBe(0);
    expect(server.get('Node', '', 'n')?.metadata.resourceVersion).toBe(metadata.resourceVersion);
  });
});

describe('meanwhile', () => {
  it('another taint that comes is not lost', async () => {
    put([OURS]);
    server.inject({ fault: 'delay', ms: 100, verb: 'patch', count: 1 });
    const removing = remove();
    await vi.waitFor(() => expect(patches()).toBe(1));
    put([OURS, OTHER]);
    expect(await removing).toBe(true);
    expect(spec()).toMatchObject({ taints: [OTHER] });
    expect(patches()).toBe(2); // the first one was for another list
  });

  it('a change of anything else is no hindrance, and stays', async () => {
    put([OURS]);
    server.inject({ fault: 'delay', ms: 100, verb: 'patch', count: 1 });
    const removing = remove();
    await vi.waitFor(() => expect(patches()).toBe(1));
    put([OURS], { zone: 'a' });
    expect(await removing).toBe(true);
    expect(patches()).toBe(1);
    expect(server.get('Node', '', 'n')?.metadata.labels).toEqual({ zone: 'a' });
  });

  it('a taint that somebody else took off is gone all the same', async () => {
    put([OURS]);
    server.inject({ fault: 'delay', ms: 100, verb: 'patch', count: 1 });
    const removing = remove();
    await vi.waitFor(() => expect(patches()).toBe(1));
    put(undefined);
    expect(await removing).toBe(false);
  });
});

describe('trouble', () => {
  it.each([
    ['a conflict', { fault: 'answer', status: 409, verb: 'patch', count: 3 }],
    ['no right to patch', { fault: 'answer', status: 403, verb: 'patch', count: 3 }],
    ['no right to look', { fault: 'answer', status: 403, verb: 'get', count: 3 }],
    ['a server that fails', { fault: 'answer', status: 503, count: 4 }],
    ['a server that hangs', { fault: 'hang', verb: 'patch', count: 2 }],
    ['a broken connection', { fault: 'drop', verb: 'patch', count: 2 }],
  ] as const)('%s: tried until it is done, and said once', async (_, fault) => {
    put([OTHER, OURS]);
    server.inject(fault);
    expect(await remove()).toBe(true);
    expect(spec()).toMatchObject({ taints: [OTHER] });
    expect(log.lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'warn the start-up taint cannot be removed yet, trying again',
    ]);
  });

  it('a Node that does not exist yet is waited for', async () => {
    const removing = remove();
    await vi.waitFor(() => expect(server.requests.length).toBeGreaterThan(2));
    put([OURS]);
    expect(await removing).toBe(true);
  });

  it('the end of the program is the end of it', async () => {
    put([OURS]);
    server.inject({ fault: 'hang' });
    const removing = remove();
    await vi.waitFor(() => expect(server.requests.length).toBeGreaterThan(0));
    stop.abort();
    expect(await removing).toBe(false);
    expect(spec()).toMatchObject({ taints: [OURS] });
  });
});
