/** A pod goes away under load and another one comes, in the steps that Kubernetes takes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadTotals, Running, ServerState } from '../network/agent/calls.ts';
import type { HostName } from '../network/plan.ts';
import { type Requests, requestsOf, startLoad, sum, type Way } from './calls.ts';
import { allReady, type DemoEndpoint, ECHO, sliceObjects, WEB } from './objects.ts';
import { FIRST_PODS, JOINING_POD, LEAVING_POD, type Stage, serveOn } from './stage.ts';

const WAYS: readonly Way[] = [
  { from: 'pod3', by: 'ClusterIP' },
  { from: 'outside', by: 'NodePort at node1' },
  { from: 'outside', by: 'NodePort at node2' },
];

const ACT_MS = 1_200;
const DRAIN_MS = 800;
const LOOK_MS = 4;

const putEndpoints = ({ lab, cluster }: Stage, endpoints: readonly DemoEndpoint[]): Promise<void> =>
  cluster.put([WEB, ECHO].flatMap((service) => sliceObjects(lab, service, endpoints)));

type Counts = Readonly<Record<string, number>>;

/** Answers by pod so far, of all loads together. */
const answersOf = async (loads: readonly Running<LoadTotals>[]): Promise<Counts> => {
  const totals: Record<string, number> = {};
  for (const { servers } of await Promise.all(loads.map((load) => load.state()))) {
    for (const [pod, count] of Object.entries(servers)) totals[pod] = (totals[pod] ?? 0) + count;
  }
  return totals;
};

/** Looks at a server for a while; gives how long after the beginning its last new connection came. */
const lastConnection = async (server: Running<ServerState>, { signal }: Stage): Promise<number> => {
  const began = performance.now();
  let last = 0;
  let { served } = await server.state();
  while (performance.now() - began < DRAIN_MS) {
    await sleep(LOOK_MS, undefined, { signal });
    const state = await server.state();
    if (state.served > served) last = performance.now() - began;
    served = state.served;
  }
  return last;
};

/** Runs an act of the scene, and gives how often each pod answered in it. */
const countDuring = async (loads: readonly Running<LoadTotals>[], act: () => Promise<void>): Promise<Counts> => {
  const before = await answersOf(loads);
  await act();
  const after = await answersOf(loads);
  return Object.fromEntries(Object.entries(after).map(([pod, count]) => [pod, count - (before[pod] ?? 0)]));
};

export const showDeparture = async (stage: Stage, leavingServer: Running<ServerState>): Promise<Requests> => {
  const { page, signal } = stage;
  page.section('A pod goes away under load, and another one comes');
  page.say(
    `Load on web: ${WAYS.map(({ from, by }) => `${from} to ${by}`).join('; ')}. Each call is a new connection.`,
    '',
  );
  const pause = (): Promise<void> => sleep(ACT_MS, undefined, { signal });
  const staying = FIRST_PODS.filter((pod) => pod !== LEAVING_POD);
  const loads = await Promise.all(WAYS.map((way) => startLoad(stage, WEB, way)));
  let drainedMs = 0;
  const acts: [string, Counts][] = [];
  const act = async (title: string, run: () => Promise<void>): Promise<void> => {
    acts.push([title, await countDuring(loads, run)]);
  };
  await act('all four ready', pause);
  await act(`${LEAVING_POD} terminating`, async () => {
    await putEndpoints(stage, [...allReady(staying), { on: LEAVING_POD, state: 'terminating' }]);
    drainedMs = await lastConnection(leavingServer, stage);
  });
  await act(`${LEAVING_POD} out of the slice, then stopped`, async () => {
    await putEndpoints(stage, allReady(staying));
    await sleep(DRAIN_MS, undefined, { signal });
    await leavingServer.stop();
    await pause();
  });
  await act(`${JOINING_POD} comes`, async () => {
    await serveOn(stage, JOINING_POD);
    await putEndpoints(stage, allReady([...staying, JOINING_POD]));
    await pause();
  });
  const totals = await Promise.all(loads.map((load) => load.stop()));
  showActs(stage, acts);
  page.say(
    '',
    `The last new connection came to ${LEAVING_POD} ${Math.round(drainedMs)} ms after it was said to be terminating.`,
  );
  const requests = sum(totals.map(requestsOf));
  page.verdict(requests.failed === 0, `${requests.made} requests, ${requests.failed} failed${failuresOf(totals)}`);
  return requests;
};

const showActs = ({ page }: Stage, acts: readonly [string, Counts][]): void => {
  const pods: readonly HostName[] = [...FIRST_PODS, JOINING_POD];
  page.table(
    ['meanwhile', ...pods],
    acts.map(([title, counts]) => [title, ...pods.map((pod) => counts[pod] ?? 0)]),
  );
};

/** Such as ` (timeout ×2)`; nothing when there is none. */
export const failuresOf = (totals: readonly LoadTotals[]): string => {
  const kinds = totals.flatMap(({ failures }) => Object.entries(failures).map(([kind, count]) => `${kind} ×${count}`));
  return kinds.length === 0 ? '' : ` (${kinds.join(', ')})`;
};
