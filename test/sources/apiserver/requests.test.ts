/** What a listener hears of requests: as client-go counts and times them. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ApiServer } from '../../../src/lab/apiserver/server.ts';
import { type ApiConnection, openConnection } from '../../../src/sources/apiserver/connection.ts';
import { listAll } from '../../../src/sources/apiserver/list.ts';
import { openWatch } from '../../../src/sources/apiserver/watch.ts';
import { create, patch, read } from '../../../src/sources/apiserver/write.ts';
import { resourcesFor } from '../../../src/sources/resources.ts';
import { collectLog } from '../support.ts';

let server: ApiServer;
let connection: ApiConnection;
let heard: string[];
let seconds: number[];
const { signal } = new AbortController();

beforeEach(async () => {
  server = new ApiServer();
  await server.start();
  heard = [];
  seconds = [];
  connection = await openConnection({ kubeconfig: '', master: `${server.url}/`, version: '1', log: collectLog() });
  connection.listen({
    answered: ({ method, host, code }) => heard.push(`${method} ${host} ${code}`),
    ended: (request) => {
      heard.push(`${request.method} ${request.host} ended`);
      seconds.push(request.seconds);
    },
  });
});

afterEach(async () => {
  connection.close();
  await server.stop();
});

const host = (): string => `127.0.0.1:${server.port}`;
const node = { kind: 'Node', apiVersion: 'v1', metadata: { name: 'n' } };
const call = () => ({ connection, signal, withinMs: 1_000 });

it('a request is counted when it is answered, and timed when the answer was read', async () => {
  server.inject({ fault: 'delay', ms: 60, verb: 'create' });
  await create(call(), '/api/v1/nodes', node);
  await patch(call(), '/api/v1/nodes/n', 'merge-patch', { spec: {} });
  await expect(read(call(), '/api/v1/nodes/missing')).rejects.toThrow('404 NotFound');
  const lines = ['POST 201', 'POST ended', 'PATCH 200', 'PATCH ended', 'GET 404', 'GET ended'];
  await vi.waitFor(() => expect(heard).toEqual(lines.map((line) => line.replace(' ', ` ${host()} `))));
  expect(seconds[0]).toBeGreaterThan(0.055);
  expect(seconds[0]).toBeLessThan(1);
});

it('a list is timed, a watch is not', async () => {
  const [resource] = resourcesFor('n');
  if (resource === undefined) throw new Error('no resources');
  await listAll(connection, resource, '0', 1_000, signal);
  const stop = new AbortController();
  const limits = { deadlineMs: 1_000, initialSilenceMs: 0, bookmarkSilenceMs: 0, bodySilenceMs: 1_000 };
  await openWatch(connection, '/api/v1/nodes?watch=true', limits, stop.signal);
  stop.abort();
  await vi.waitFor(() => expect(server.openWatches).toBe(0));
  expect(heard).toEqual([`GET ${host()} 200`, `GET ${host()} ended`, `GET ${host()} 200`]);
});

it('one that comes to nothing is an error, once, and timed', async () => {
  server.inject({ fault: 'hang', count: 1 });
  await expect(read({ ...call(), withinMs: 80 }, '/api/v1/nodes/n')).rejects.toThrow('no answer within 80 ms');
  await server.stop();
  await expect(read(call(), '/api/v1/nodes/n')).rejects.toThrow('ECONNREFUSED');
  expect(heard).toEqual(
    ['GET <error>', 'GET ended', 'GET <error>', 'GET ended'].map((l) => l.replace(' ', ` ${host()} `)),
  );
  expect(seconds[0]).toBeGreaterThan(0.07);
});

it('the server may fall silent in the middle of an answer', async () => {
  await expect(read({ ...call(), withinMs: 100 }, '/api/v1/nodes?watch=true')).rejects.toThrow(
    'no answer within 100 ms',
  );
});
