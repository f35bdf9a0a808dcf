/** Load on a Service during an operation, counted by acts. */
import type { AgentTask, LoadTotals } from '../network/agent/calls.ts';
import type { HostName } from '../network/plan.ts';
import { type CallPath, formatPath, targetOf } from './calls.ts';
import { type DemoClaim, formatCount, formatRequests, type Requests, requestsOf, sum } from './findings.ts';
import type { DemoService } from './objects.ts';
import type { Stage } from './stage.ts';

/** Answers by server during one act. */
export interface Act {
  readonly title: string;
  readonly servers: Readonly<Record<string, number>>;
  readonly failed: number;
}

/** Runs a function as an act of its own. */
export type PlayAct = (title: string, run: () => Promise<void>) => Promise<void>;

export interface LoadResult<T> {
  readonly acts: readonly Act[];
  readonly requests: Requests;
  /** Claim that no call failed. */
  readonly claim: DemoClaim;
  /** Result of `play`. */
  readonly result: T;
}

type Load = AgentTask<LoadTotals>;
type ActCounts = Omit<Act, 'title'>;

/** Concurrent calls of each path, and the pause after each: enough to hit a gap, and within the load of two cores. */
const ROWS = 4;
const PAUSE_MS = 4;
const TIMEOUT_MS = 3_000;

/** Starts a load by one path, which runs until it is stopped. */
const startLoad = async (stage: Stage, service: DemoService, { from, by }: CallPath): Promise<Load> => {
  const agent = await stage.lab.agent(from);
  const target = targetOf(stage, service, by, 'IPv4');
  return agent.load({ ...target, parallel: ROWS, pauseMs: PAUSE_MS, timeoutMs: TIMEOUT_MS }, stage.signal);
};

const addCounts = (parts: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> => {
  const total: Record<string, number> = {};
  for (const [name, count] of parts.flatMap((part) => Object.entries(part))) total[name] = (total[name] ?? 0) + count;
  return total;
};

/** Sum of the counts of all loads. */
const countsOf = async (loads: readonly Load[]): Promise<ActCounts> => {
  const states = await Promise.all(loads.map((load) => load.state()));
  return { servers: addCounts(states.map(({ servers }) => servers)), failed: sum(states.map(requestsOf)).failed };
};

const difference = (after: ActCounts, before: ActCounts): ActCounts => ({
  servers: Object.fromEntries(
    Object.entries(after.servers).map(([name, count]) => [name, count - (before.servers[name] ?? 0)]),
  ),
  failed: after.failed - before.failed,
});

/** Text such as ` (timeout ×2)`; empty without failures. */
const formatFailures = (totals: readonly LoadTotals[]): string => {
  const kinds = Object.entries(addCounts(totals.map(({ failures }) => failures)));
  return kinds.length === 0 ? '' : ` (${kinds.map(([kind, count]) => `${kind} ×${formatCount(count)}`).join(', ')})`;
};

/** Runs a load while `play` runs, which defines the acts. */
export const underLoad = async <T>(
  stage: Stage,
  service: DemoService,
  ways: readonly CallPath[],
  play: (act: PlayAct) => Promise<T>,
): Promise<LoadResult<T>> => {
  stage.page.say(
    `Load on ${service.name}: ${ways.map(formatPath).join('; ')}.`,
    `By each way ${ROWS} calls at a time, each on a connection of its own.`,
    '',
  );
  const loads = await Promise.all(ways.map((way) => startLoad(stage, service, way)));
  const acts: Act[] = [];
  const result = await play(async (title, run) => {
    const before = await countsOf(loads);
    await run();
    acts.push({ title, ...difference(await countsOf(loads), before) });
  });
  const totals = await Promise.all(loads.map((load) => load.stop()));
  const requests = sum(totals.map(requestsOf));
  const text = `${formatRequests(requests)}${formatFailures(totals)}`;
  return { acts, requests, result, claim: { text, isKept: requests.failed === 0 && requests.made > 0 } };
};

/** Number of answers of a pod during an act. */
export const answersOf = ({ servers }: Act, pod: HostName): number => servers[pod] ?? 0;

/** Shows the acts, one row each, with the answers of these pods. */
export const showActs = ({ page }: Stage, acts: readonly Act[], pods: readonly HostName[]): void => {
  page.table(
    ['meanwhile', ...pods, 'failed'],
    acts.map((act) => [act.title, ...pods.map((pod) => answersOf(act, pod)), act.failed]),
  );
};
