/** Demo, balancing: answers by pod, and the source addresses that pods see. */
import type { IPFamily } from '../../model/address.ts';
import type { HostName } from '../network/plan.ts';
import { type Summary, summarize } from '../network/summary.ts';
import { CALL_PATHS, type CallPath, expectedClient, formatPath, ownersOf, targetOf } from './calls.ts';
import {
  claimUnless,
  type DemoClaim,
  type Findings,
  formatRequests,
  type Requests,
  requestsOf,
  sum,
} from './findings.ts';
import { type DemoService, ECHO, WEB } from './objects.ts';
import { FIRST_PODS, type Stage } from './stage.ts';

/** Calls of each path. The chance that one of four pods gets none is about one in 10^12. */
const TRIES = 100;
const PARALLEL = 8;
const TIMEOUT_MS = 3_000;

/** Results of the calls by one path. */
interface Called {
  readonly way: CallPath;
  readonly summary: Summary;
}

/** Results for one Service and family by all paths. */
interface Round {
  readonly title: string;
  readonly called: readonly Called[];
}

const callByPath = async (stage: Stage, service: DemoService, family: IPFamily, way: CallPath): Promise<Called> => {
  const agent = await stage.lab.agent(way.from);
  const options = { tries: TRIES, parallel: PARALLEL, timeoutMs: TIMEOUT_MS };
  const outcomes = await agent.probe({ ...targetOf(stage, service, way.by, family), ...options }, stage.signal);
  return { way, summary: summarize(outcomes) };
};

const callByAllPaths = async (stage: Stage, service: DemoService, family: IPFamily): Promise<Round> => ({
  title: `${service.name.padEnd(4)}  ${service.protocol} over ${family}`,
  called: await Promise.all(CALL_PATHS.map((way) => callByPath(stage, service, family, way))),
});

const requestsIn = ({ called }: Round): Requests => sum(called.map(({ summary }) => requestsOf(summary)));

/** Owners with addresses, such as `pod3 (10.200.0.13)` or `node1 (10.200.0.1, 10.250.0.1)`. */
const describeClients = (owners: ReadonlyMap<string, HostName>, clients: readonly string[]): string => {
  const byOwner = new Map<string, string[]>();
  for (const client of clients) {
    const owner = owners.get(client) ?? 'nobody here';
    byOwner.set(owner, [...(byOwner.get(owner) ?? []), client]);
  }
  return [...byOwner].map(([owner, addresses]) => `${owner} (${addresses.join(', ')})`).join('; ');
};

/** Shows one round with a row for each path. */
const showPaths = (stage: Stage, { called }: Round): void => {
  const owners = ownersOf(stage);
  const rows = called.map(({ way: { from, by }, summary: { servers, clients, tries, answers } }) => [
    from,
    from === 'outside' && by === 'ClusterIP' ? 'ClusterIP*' : by,
    ...FIRST_PODS.map((pod) => servers[pod] ?? 0),
    tries - answers,
    ` ${describeClients(owners, clients)}`,
  ]);
  stage.page.table(['from', 'to', ...FIRST_PODS, 'failed', ' source address seen by pods'], rows);
};

/** Shows rounds with one row each, all paths summed up. */
const showRounds = ({ page }: Stage, rounds: readonly Round[]): void => {
  const rows = rounds.map((round) => [
    round.title,
    ...FIRST_PODS.map((pod) => round.called.reduce((total, { summary }) => total + (summary.servers[pod] ?? 0), 0)),
    requestsIn(round).failed,
  ]);
  page.table([`all ${CALL_PATHS.length} ways taken together`, ...FIRST_PODS, 'failed'], rows);
};

/** Problems of a round: pods without answers, answers of other pods, failures. */
const answerProblems = ({ title, called }: Round): readonly string[] =>
  called.flatMap(({ way, summary: { servers, failures } }) => {
    const where = `${title}, ${formatPath(way)}`;
    return [
      ...FIRST_PODS.filter((pod) => servers[pod] === undefined).map((pod) => `${where}: no answer from ${pod}`),
      ...Object.keys(servers)
        .filter((name) => !FIRST_PODS.some((pod) => pod === name))
        .map((name) => `${where}: an answer from ${name}`),
      ...Object.entries(failures).map(([kind, count]) => `${where}: ${kind} ×${count}`),
    ];
  });

const sourceProblems = (owners: ReadonlyMap<string, HostName>, { title, called }: Round): readonly string[] =>
  called
    .filter(({ way, summary }) => summary.clients.some((client) => owners.get(client) !== expectedClient(way)))
    .map(({ way, summary }) => `${title}, ${formatPath(way)}: ${describeClients(owners, summary.clients)}`);

const judge = (stage: Stage, rounds: readonly Round[], requests: Requests): readonly DemoClaim[] => {
  const owners = ownersOf(stage);
  const ways = rounds.reduce((total, { called }) => total + called.length, 0);
  return [
    claimUnless(
      rounds.flatMap(answerProblems),
      `each of ${ways} ways led to all four pods; ${formatRequests(requests)}`,
    ),
    claimUnless(
      rounds.flatMap((round) => sourceProblems(owners, round)),
      'pods saw each other under their own addresses, and others as the node that these came through',
    ),
  ];
};

/** Calls the Services by all paths and shows the results. */
export const showBalancing = async (stage: Stage): Promise<Findings> => {
  const { page } = stage;
  page.section('Balancing: who answered how often, and whom they saw');
  page.say(`Service web, TCP over IPv4, ${TRIES} connections a row:`, '');
  const first = await callByAllPaths(stage, WEB, 'IPv4');
  showPaths(stage, first);
  page.note(
    '',
    'A pod that calls a ClusterIP is seen under its own address. Whoever comes from outside the pods,',
    'or by a NodePort, is seen as the node on the way: so the answer goes back by way of that node.',
    '* The machine outside has a route for ClusterIPs, to node1; in most clusters it would have none.',
    '',
  );
  const others = [
    await callByAllPaths(stage, WEB, 'IPv6'),
    await callByAllPaths(stage, ECHO, 'IPv4'),
    await callByAllPaths(stage, ECHO, 'IPv6'),
  ];
  showRounds(stage, others);
  const rounds = [first, ...others];
  const requests = sum(rounds.map(requestsIn));
  return { requests, claims: judge(stage, rounds, requests) };
};
