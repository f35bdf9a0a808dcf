/** When the start-up taint goes: not before rules are in place, and again whenever the Node comes back with it. */
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NodeEvents } from '../../src/commands/events.ts';
import type { Setup } from '../../src/commands/setup.ts';
import { startupTaint } from '../../src/commands/startup-taint.ts';
import { ApiServer } from '../../src/lab/apiserver/server.ts';
import { type ApiConnection, openConnection } from '../../src/sources/apiserver/connection.ts';
import { ApiServerSource } from '../../src/sources/apiserver/source.ts';
import { loadLine } from '../config/loading.ts';
import { NODE, RecordingSink } from '../sources/support.ts';

const KEY = 'pointsman.dev/not-ready';
const TAINT = { key: KEY, effect: 'NoSchedule' };

let server: ApiServer;
let connection: ApiConnection;
let stop: AbortController;
let running: Promise<void>;
let told: string[];

beforeEach(async () => {
  server = new ApiServer();
  await server.start();
  const log = pino({ level: 'silent' });
  connection = await openConnection({ kubeconfig: '', master: server.url, version: '1', log });
  stop = new AbortController();
  told = [];
});

afterEach(async () => {
  stop.abort();
  await running;
  connection.close();
  await server.stop();
});

const begin = async (...flags: readonly string[]) => {
  const { config } = await loadLine(flags);
  const setup: Setup = { config, warnings: [], flags: [], nodeName: NODE, log: pino({ level: 'silent' }) };
  const recorder = {
    record: ({ reason }: { readonly reason: string }) => void told.push(reason),
    counts: { written: 0, limited: 0, lost: 0 },
    stop: async () => undefined,
  };
  const taint = startupTaint(setup, connection, new NodeEvents(setup, recorder), stop.signal);
  const sink = new RecordingSink();
  const source = new ApiServerSource({ connection, nodeName: NODE, log: setup.log });
  running = source.run(taint.listenIn(sink), stop.signal);
  await vi.waitFor(() => expect(sink.synced).toBe(true));
  return { taint, sink };
};

const register = (taints: readonly object[] = [TAINT]) =>
  server.put({ kind: 'Node', metadata: { name: NODE }, spec: { taints } });
const taints = (): unknown => (server.get('Node', '', NODE)?.spec as { readonly taints?: unknown } | undefined)?.taints;
const isGone = (): Promise<void> => vi.waitFor(() => expect(taints()).toBeUndefined(), { timeout: 3_000 });
const asks = (): number => server.requests.filter(({ verb }) => verb === 'get' || verb === 'patch').length;
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

describe('the start-up taint', () => {
  it('stays until rules are in place, then it goes and the Node is told', async () => {
    register();
    const { taint, sink } = await begin(`--startup-taint=${KEY}`);
    await pause();
    expect(taints()).toEqual([TAINT]);
    taint.ready();
    await isGone();
    await vi.waitFor(() => expect(told).toEqual(['StartupTaintRemoved']));
    expect(sink.names('Node')).toEqual([NODE]); // who listens behind it hears everything
  });

  it('is nothing to ask for where the Node is without', async () => {
    register([{ key: 'other', effect: 'NoSchedule' }]);
    const { taint } = await begin(`--startup-taint=${KEY}`);
    taint.ready();
    await pause();
    expect(asks()).toBe(0);
    expect(told).toEqual([]);
  });

  it('goes also when the Node comes later, and when it is registered anew', async () => {
    const { taint } = await begin(`--startup-taint=${KEY}`);
    taint.ready();
    register();
    await isGone();
    server.delete('Node', '', NODE);
    await pause();
    register();
    await isGone();
    await vi.waitFor(() => expect(told).toHaveLength(2));
  });

  it('of another Node is not ours to remove', async () => {
    server.put({ kind: 'Node', metadata: { name: 'other' }, spec: { taints: [TAINT] } });
    register([]);
    const { taint } = await begin(`--startup-taint=${KEY}`);
    taint.ready();
    await pause();
    expect(server.get('Node', '', 'other')?.spec).toEqual({ taints: [TAINT] });
  });

  it('is nobody’s business without the flag', async () => {
    register();
    const { taint } = await begin();
    taint.ready();
    await pause();
    expect(taints()).toEqual([TAINT]);
    expect(asks()).toBe(0);
  });
});
