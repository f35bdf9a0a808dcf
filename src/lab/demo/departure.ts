/** Demo, departure: a pod terminates under load and another one replaces it, in the steps of Kubernetes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentTask, HeldState, ServerState } from '../network/agent/calls.ts';
import type { HostName } from '../network/plan.ts';
import { type CallPath, targetOf } from './calls.ts';
import { type DemoClaim, type Findings, formatCount } from './findings.ts';
import { type Act, answersOf, type PlayAct, showActs, underLoad } from './load.ts';
import { allReady, type DemoEndpoint, ECHO, sliceObjects, WEB } from './objects.ts';
import { CALLING_POD, FIRST_PODS, JOINING_POD, LEAVING_POD, type Stage, serveOn } from './stage.ts';

const CALL_PATHS: readonly CallPath[] = [
  { from: CALLING_POD, by: 'ClusterIP' },
  { from: 'outside', by: 'NodePort at node1' },
  { from: 'outside', by: 'NodePort at node2' },
];

const ACT_MS = 1_200;
const DRAIN_MS = 800;
const POLL_MS = 4;
/** Attempts to reach one of four pods. The chance to miss it is about one in 10^7. */
const MAX_HOLDS = 60;

const putEndpoints = ({ lab, cluster }: Stage, endpoints: readonly DemoEndpoint[]): Promise<void> =>
  cluster.put([WEB, ECHO].flatMap((service) => sliceObjects(lab, service, endpoints)));

/** Opens connections to the ClusterIP until one reaches this pod. */
const holdConnectionTo = async (stage: Stage, pod: HostName): Promise<AgentTask<HeldState>> => {
  const agent = await stage.lab.agent(CALLING_POD);
  for (let i = 0; i < MAX_HOLDS; i += 1) {
    const held = await agent.hold(targetOf(stage, WEB, 'ClusterIP', 'IPv4'), stage.signal);
    if ((await held.state()).server === pod) return held;
    await held.stop();
  }
  throw new Error(`${MAX_HOLDS} connections, and none was given ${pod}`);
};

/** Observes a server for a while; returns the milliseconds until its last new connection. */
const lastConnection = async (server: AgentTask<ServerState>, { signal }: Stage): Promise<number> => {
  const began = performance.now();
  let last = 0;
  let { served } = await server.state();
  while (performance.now() - began < DRAIN_MS) {
    await sleep(POLL_MS, undefined, { signal });
    const state = await server.state();
    if (state.served > served) last = performance.now() - began;
    served = state.served;
  }
  return last;
};

interface DepartureFindings {
  readonly held: HeldState;
  readonly lastConnectionMs: number;
}

/** Steps, each an act: terminating, out of the slice, stopped, the other pod ready. */
const takeSteps = async (
  stage: Stage,
  leavingServer: AgentTask<ServerState>,
  act: PlayAct,
): Promise<DepartureFindings> => {
  const { signal } = stage;
  const staying = FIRST_PODS.filter((pod) => pod !== LEAVING_POD);
  const line = await holdConnectionTo(stage, LEAVING_POD);
  await act('all four ready', () => sleep(ACT_MS, undefined, { signal }));
  let lastConnectionMs = 0;
  await act(`${LEAVING_POD} terminating`, async () => {
    await putEndpoints(stage, [...allReady(staying), { on: LEAVING_POD, state: 'terminating' }]);
    lastConnectionMs = await lastConnection(leavingServer, stage);
  });
  await act(`${LEAVING_POD} out of the slice`, async () => {
    await putEndpoints(stage, allReady(staying));
    await sleep(DRAIN_MS, undefined, { signal });
  });
  const held = await line.stop();
  await act(`${LEAVING_POD} stopped`, async () => {
    await leavingServer.stop();
    await sleep(DRAIN_MS, undefined, { signal });
  });
  await act(`${JOINING_POD} ready`, async () => {
    await serveOn(stage, JOINING_POD);
    await putEndpoints(stage, allReady([...staying, JOINING_POD]));
    await sleep(ACT_MS, undefined, { signal });
  });
  return { held, lastConnectionMs };
};

const judge = (acts: readonly Act[], { held, lastConnectionMs }: DepartureFindings): readonly DemoClaim[] => {
  const [, , ...afterwards] = acts;
  const last = acts.at(-1);
  const atLeastOne = Math.max(1, Math.ceil(lastConnectionMs));
  return [
    {
      text: `${LEAVING_POD} got no new connection later than ${atLeastOne} ms after it was set terminating`,
      isKept: afterwards.every((act) => answersOf(act, LEAVING_POD) === 0),
    },
    {
      text: `a connection that it had before lived on until it stopped: ${formatCount(held.roundTrips)} answers on it`,
      isKept: held.alive && held.server === LEAVING_POD,
    },
    {
      text: `${JOINING_POD} got its share as soon as it was ready`,
      isKept: last !== undefined && answersOf(last, JOINING_POD) > 0,
    },
  ];
};

export const showDeparture = async (stage: Stage, leavingServer: AgentTask<ServerState>): Promise<Findings> => {
  stage.page.section('A pod goes away under load, and another one comes');
  const { acts, requests, claim, result } = await underLoad(stage, WEB, CALL_PATHS, (act) =>
    takeSteps(stage, leavingServer, act),
  );
  showActs(stage, acts, [...FIRST_PODS, JOINING_POD]);
  return { requests, claims: [claim, ...judge(acts, result)] };
};
