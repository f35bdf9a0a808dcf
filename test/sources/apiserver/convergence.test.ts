import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Fault } from '../../../src/lab/apiserver/faults.ts';
import { ApiServer } from '../../../src/lab/apiserver/server.ts';
import type { ObjectKind } from '../../../src/model/kubernetes.ts';
import { follow, NODE, node, service, serviceCIDR, slice } from '../support.ts';

type Step = (server: ApiServer) => void | Promise<void>;

interface Action {
  readonly name: string;
  readonly run: Step;
}

const action = (name: string, run: Step): Action => ({ name, run });

const puts = fc
  .tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(3), fc.constantFrom('10.0.0.1', 'None'))
  .chain(([name, value, clusterIP]) =>
    fc.constantFrom(
      action(
        `put Service ${name} ${clusterIP} ${value}`,
        (server) => void server.put(service(name, { clusterIP, value })),
      ),
      action(`put EndpointSlice ${name} ${value}`, (server) => void server.put(slice(name, [`10.1.0.${value}`]))),
      action(`put ServiceCIDR ${name}`, (server) => void server.put(serviceCIDR(name))),
      action(`put Node ${name}`, (server) => void server.put(node(value === 0 ? NODE : name))),
    ),
  );

const deletes = fc
  .tuple(fc.constantFrom('Service', 'EndpointSlice', 'ServiceCIDR', 'Node'), fc.constantFrom('a', 'b', 'c', 'd', NODE))
  .map(([kind, name]) => action(`delete ${kind} ${name}`, (server) => void server.delete(kind, 'default', name)));

const faults = fc
  .constantFrom<Fault>(
    { fault: 'answer', status: 410, count: 2 },
    { fault: 'answer', status: 429, retryAfter: 0.01, count: 2 },
    { fault: 'answer', status: 500, count: 3 },
    { fault: 'answer', status: 403, count: 2 },
    { fault: 'hang', count: 1 },
    { fault: 'drop', count: 2 },
    { fault: 'delay', ms: 10, count: 3 },
    { fault: 'cut', count: 2 },
    { fault: 'malformed', count: 2 },
    { fault: 'error-event', status: 500, count: 1 },
    { fault: 'error-event', status: 410, count: 1 },
    { fault: 'stall' },
    { fault: 'end-watches' },
    { fault: 'end-watches', abrupt: true },
    { fault: 'close-connections' },
    { fault: 'no-streaming', how: 'refuse' },
    { fault: 'no-streaming', how: 'ignore' },
  )
  .map((fault) => action(JSON.stringify(fault), (server) => server.inject(fault)));

const upheavals = fc.constantFrom(
  action('compact', (server) => server.compact()),
  // to versions that the lost history never had: nobody could tell the two apart otherwise
  action('lose everything', (server) => server.reset(server.version - 1000)),
  action('restart', async (server) => {
    await server.stop();
    await server.start();
  }),
);

const pauses = fc.nat(12).map((ms) => action(`wait ${ms}`, () => new Promise((resolve) => setTimeout(resolve, ms))));

const script = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: puts },
    { weight: 3, arbitrary: deletes },
    { weight: 3, arbitrary: faults },
    { weight: 1, arbitrary: upheavals },
    { weight: 4, arbitrary: pauses },
  ),
  { minLength: 5, maxLength: 40 },
);

/** What the sink should hold: the server's objects that the selectors let through, by name and version. */
const wanted = (server: ApiServer, kind: ObjectKind): readonly string[] =>
  server
    .objects(kind)
    .filter((object) => kind !== 'Node' || object.metadata.name === NODE)
    .filter((object) => (object.spec as { clusterIP?: string } | undefined)?.clusterIP !== 'None')
    .map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`);

const KINDS: readonly ObjectKind[] = ['Service', 'EndpointSlice', 'Node', 'ServiceCIDR'];

it('whatever happens, the sink ends with what the server has', { timeout: 30_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(script, async (actions) => {
      const server = new ApiServer({ version: 1_000_000, bookmarkEveryMs: 10 });
      await server.start();
      // the deadline is what finds a peer that died before its first bookmark
      const watchSeconds: readonly [number, number] = [1, 1];
      const timing = {
        watchSeconds,
        deadlineGraceMs: 50,
        bookmarkSilenceMs: 50,
        initialSilenceMs: 50,
        backoffMaxMs: 16,
      };
      const following = await follow(server, timing, { timeouts: { connectMs: 50, headersMs: 50 } });
      try {
        for (const { run } of actions) await run(server);
        server.clearFaults();
        const have = () =>
          KINDS.map((kind) =>
            [...(following.sink.contents.get(kind)?.values() ?? [])]
              .map((object) => (object as { metadata: { name: string; resourceVersion: string } }).metadata)
              .map(({ name, resourceVersion }) => `${name} ${resourceVersion}`)
              .sort(),
          );
        await expect.poll(have, { interval: 3, timeout: 3000 }).toEqual(KINDS.map((kind) => wanted(server, kind)));
      } finally {
        await following.stop();
        await server.stop();
      }
    }),
    { numRuns: 60 },
  );
});
