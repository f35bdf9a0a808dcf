import { expect, it } from 'vitest';
import { ApiServer } from '../../src/lab/apiserver/server.ts';
import { openConnection } from '../../src/sources/apiserver/connection.ts';
import { ApiServerSource } from '../../src/sources/apiserver/source.ts';
import { snapshot } from '../../src/sources/snapshot.ts';
import { collectLog, FAST, NODE, node, service } from './support.ts';

it('a snapshot is everything once, and leaves nothing open', async () => {
  const server = new ApiServer();
  await server.start();
  server.put(node());
  server.put(service('web'));
  const log = collectLog();
  const connection = await openConnection({ kubeconfig: '', master: server.url, version: '1', log });
  const source = new ApiServerSource({ connection, nodeName: NODE, log, timing: FAST });
  const contents = await snapshot(source, AbortSignal.timeout(5000));
  expect(contents).toMatchObject({
    Service: [{ metadata: { name: 'web' } }],
    Node: [{ metadata: { name: NODE } }],
    EndpointSlice: [],
    ServiceCIDR: [],
  });
  connection.close();
  await expect.poll(() => server.openConnections).toBe(0);
  await server.stop();
  await expect(snapshot(source, AbortSignal.timeout(40))).rejects.toThrow(/timeout/);
});
