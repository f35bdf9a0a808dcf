/**
 * Replaces one endpoint of one Service, in this network namespace, while another Service has many affinity entries, or
 * many time-outs are in use.
 */
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { openKernelSockets } from '../../src/backends/nftables/kernel-sockets.ts';
import { AFFINITY, declarations, TABLE } from '../../src/backends/nftables/names.ts';
import { Reconciler } from '../../src/dataplane/reconciler.ts';
import { serviceObjects } from '../../src/lab/many.ts';
import { OBJECT_KINDS } from '../../src/model/kubernetes.ts';
import { concat } from '../../src/nftables-json/construct.ts';
import { openTracker } from './node.ts';

const ROUNDS = 100;
const PROBED = 60_000;
const ENDPOINTS = 3;
const CHUNK = 10_000;
const FAMILY = 'ip';

const sockets = openKernelSockets();

/** Service with session affinity and this time-out in seconds. */
const sticky = (number: number, seconds: number): readonly { readonly kind: string }[] => {
  const [service, slice] = serviceObjects(number, ENDPOINTS);
  const sessionAffinityConfig = { clientIP: { timeoutSeconds: seconds } };
  return [
    { ...service, spec: { ...service.spec, sessionAffinity: 'ClientIP', sessionAffinityConfig } } as never,
    slice,
  ];
};

const quantile = (values: readonly number[], q: number): string =>
  ([...values].sort((a, b) => a - b)[Math.floor(q * values.length)] ?? Number.NaN).toFixed(2);

/** Adds affinity entries for this many clients, to the first endpoint of the first Service's frontend. */
const remember = (count: number, address: string, endpoint: string): void => {
  for (let from = 0; from < count; from += CHUNK) {
    const elem = Array.from({ length: Math.min(CHUNK, count - from) }, (_, i) => {
      const n = from + i;
      const client = `11.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
      return [{ elem: { val: concat(client, address, 'tcp', 80), timeout: 10_800 } }, concat(endpoint, 8080)] as const;
    });
    const add = { add: { element: { family: FAMILY, table: TABLE, name: AFFINITY, elem } } } as const;
    sockets.writer.run([add], { sets: declarations(FAMILY) });
  }
};

const measure = async (what: string, timeouts: number, clients: number): Promise<void> => {
  const tracker = openTracker();
  const objects = [...Array.from({ length: timeouts }, (_, i) => sticky(i, 100 + i)).flat(), ...sticky(PROBED, 10_800)];
  for (const kind of OBJECT_KINDS)
    tracker.replace(
      kind,
      objects.filter((object) => object.kind === kind),
    );
  const backend = nftablesBackend({ family: 'IPv4', sockets });
  const reconciler = new Reconciler(backend, { signal: new AbortController().signal });
  await reconciler.sync(tracker.take('IPv4'));
  await backend.settled();
  const first = serviceObjects(0, ENDPOINTS) as unknown as readonly [
    { readonly spec: { readonly clusterIP: string } },
    { readonly endpoints: readonly { readonly addresses: readonly string[] }[] },
  ];
  remember(clients, first[0].spec.clusterIP, first[1].endpoints[0]?.addresses[0] ?? '');
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    tracker.put('EndpointSlice', serviceObjects(PROBED, ENDPOINTS, `10.201.0.${(round % 250) + 1}`)[1]);
    const startedAt = performance.now();
    await reconciler.sync(tracker.take('IPv4'));
    times.push(performance.now() - startedAt);
    // changes come at the pace of events, so that expiry runs in between
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const startedAt = performance.now();
  await backend.settled();
  const figures = `p50 ms ${quantile(times, 0.5)}  p99 ${quantile(times, 0.99)}`;
  console.log(
    `${what.padEnd(46)} ${figures}  forgotten ${(performance.now() - startedAt).toFixed(0)} ms after the last`,
  );
  sockets.writer.run([{ delete: { table: { family: FAMILY, name: TABLE } } }]);
};

await measure('one change, one time-out, nobody remembered', 1, 0);
await measure('one change, 200,000 clients of another', 1, 200_000);
await measure('one change, 1,000 time-outs of others', 1_000, 0);
sockets.writer.close();
