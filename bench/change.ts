/**
 * Time from the write of one endpoint's change at the API server to the first packet that reaches the new endpoint, and
 * the cost of a stream of changes.
 */
import { serviceObjects } from '../src/lab/many.ts';
import { cleanUp } from './start.ts';
import { cpuSeconds, quantile, show, sleep, startProxy, type TestBed, type Variant } from './test-bed.ts';

export const PROBED = { number: 99_000, port: 80 } as const;
const ROUNDS = 21;
const CHANGES_PER_SECOND = 50;
/** Duration of the stream: longer than a sync period, so that it includes a full sync. */
const CHURN_SECONDS = 40;
/** Pause after a change, so that the next one finds the proxy idle. */
const PAUSE_MS = 1_500;
const GIVE_UP_MS = 60_000;

/** Service with a real pod as its single endpoint. */
export const probed = (ip: string) => {
  const [service, slice] = serviceObjects(PROBED.number, 1, ip);
  // not used by another Service: those are in 10.96.0.0/16
  const clusterIP = '10.97.0.1';
  return { clusterIP, service: { ...service, spec: { ...service.spec, clusterIP, clusterIPs: [clusterIP] } }, slice };
};

export const oneChange = async (bed: TestBed, variant: Variant, services: number, endpoints: number): Promise<void> => {
  const pods = (['pod1', 'pod2'] as const).map((name) => ({ name, ip: bed.lab.host(name).ipv4 }));
  const servers = await Promise.all(
    pods.map(async ({ name }) => (await bed.lab.agent(name)).serve({ protocol: 'tcp', port: 8080, name })),
  );
  const { service, slice, clusterIP } = probed(pods[0]?.ip ?? '');
  await bed.cluster.put([service, slice]);
  const proxy = await startProxy(bed, variant);
  const client = await bed.lab.agent('pod3');
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const pod = pods[(round + 1) % 2] ?? { name: '', ip: '' };
    await sleep(PAUSE_MS);
    const startedAt = performance.now();
    await bed.cluster.put([probed(pod.ip).slice]);
    for (const deadline = startedAt + GIVE_UP_MS; ; ) {
      if (performance.now() > deadline) throw new Error(`${pod.name} does not answer at ${clusterIP}`);
      const [outcome] = await client.probe({ protocol: 'tcp', host: clusterIP, port: PROBED.port, timeoutMs: 1_000 });
      if (outcome?.kind === 'answer' && outcome.server === pod.name) break;
    }
    times.push(performance.now() - startedAt);
  }
  const figures = { 'p50 ms': quantile(times, 0.5).toFixed(0), 'p90 ms': quantile(times, 0.9).toFixed(0) };
  show(`one endpoint, API to packet, ${variant} ${services}×${endpoints}`, figures);
  await churn(bed, proxy.pid, variant, services, endpoints);
  await proxy.stop();
  await bed.cluster.delete([service, slice].map(({ kind, metadata }) => ({ kind, metadata })));
  for (const server of servers) await server.stop();
  await cleanUp(bed, variant);
};

/** CPU cost of a steady stream of endpoint changes, tools included. */
const churn = async (
  bed: TestBed,
  pid: number,
  variant: Variant,
  services: number,
  endpoints: number,
): Promise<void> => {
  const before = await cpuSeconds(pid);
  const startedAt = performance.now();
  for (let i = 0; i < CHURN_SECONDS * CHANGES_PER_SECOND; i += 1) {
    const [, slice] = serviceObjects((i * 7) % services, endpoints, `10.201.${(i >> 8) & 255}.${i & 255}`);
    await bed.cluster.put([slice]);
    const due = startedAt + ((i + 1) * 1_000) / CHANGES_PER_SECOND;
    await sleep(Math.max(0, due - performance.now()));
  }
  await sleep(PAUSE_MS);
  const cpu = (await cpuSeconds(pid)) - before;
  const share = (100 * cpu * 1_000) / (performance.now() - startedAt);
  show(`${CHANGES_PER_SECOND} changes/s, ${variant} ${services}×${endpoints}`, {
    'percent of a core': share.toFixed(0),
  });
};
