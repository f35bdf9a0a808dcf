/** Who answers whom, and as whom they see the caller. */
import type { IPFamily } from '../../model/address.ts';
import { summarize } from '../network/summary.ts';
import { ownersOf, type Requests, requestsOf, sum, targetOf, WAYS, type Way } from './calls.ts';
import { type DemoService, ECHO, WEB } from './objects.ts';
import { FIRST_PODS, type Stage } from './stage.ts';

const TRIES = 48;

const callBy = async (stage: Stage, service: DemoService, family: IPFamily, { from, by }: Way) => {
  const agent = await stage.lab.agent(from);
  const target = targetOf(stage, service, by, family);
  return summarize(await agent.probe({ ...target, tries: TRIES, parallel: 8, timeoutMs: 3_000 }, stage.signal));
};

/** Such as `10.200.0.13 = pod3`, or `10.200.0.1, 10.250.0.1 = node1`. */
const describeClients = (stage: Stage, clients: readonly string[]): string => {
  const owners = ownersOf(stage);
  const byOwner = new Map<string, string[]>();
  for (const client of clients) {
    const owner = owners.get(client) ?? 'nobody here';
    byOwner.set(owner, [...(byOwner.get(owner) ?? []), client]);
  }
  return [...byOwner].map(([owner, addresses]) => `${owner} (${addresses.join(', ')})`).join('; ');
};

const callByAll = (stage: Stage, service: DemoService, family: IPFamily) =>
  Promise.all(WAYS.map(async (way) => ({ way, summary: await callBy(stage, service, family, way) })));

type Called = Awaited<ReturnType<typeof callByAll>>;

const requestsIn = (called: Called): Requests => sum(called.map(({ summary }) => requestsOf(summary)));

const showTable = (stage: Stage, called: Called): void => {
  const rows = called.map(({ way: { from, by }, summary: { servers, clients, tries, answers } }) => [
    from,
    from === 'outside' && by === 'ClusterIP' ? 'ClusterIP*' : by,
    ...FIRST_PODS.map((pod) => servers[pod] ?? 0),
    tries - answers,
    ` ${describeClients(stage, clients)}`,
  ]);
  stage.page.table(['from', 'to', ...FIRST_PODS, 'failed', ' source address that the pods saw'], rows);
};

/** The rest in a line each: the same ways, all taken together. */
const showLine = ({ page }: Stage, title: string, called: Called): void => {
  const counts = FIRST_PODS.map((pod) => {
    const answers = called.reduce((total, { summary }) => total + (summary.servers[pod] ?? 0), 0);
    return `${pod} ${answers}`;
  });
  const { made, failed } = requestsIn(called);
  page.say(`${title}, the same ${called.length} ways, ${made} calls: ${counts.join(', ')}; ${failed} failed`);
};

/** Calls the Services by every way there is. */
export const showBalancing = async (stage: Stage): Promise<Requests> => {
  const { page } = stage;
  page.section('Balancing: who answered how often, and whom they saw');
  page.say(`Service web, TCP over IPv4, ${TRIES} connections a row:`, '');
  const main = await callByAll(stage, WEB, 'IPv4');
  showTable(stage, main);
  page.say('');
  const others = [];
  for (const [title, service, family] of [
    ['web,  TCP over IPv6', WEB, 'IPv6'],
    ['echo, UDP over IPv4', ECHO, 'IPv4'],
    ['echo, UDP over IPv6', ECHO, 'IPv6'],
  ] as const) {
    const called = await callByAll(stage, service, family);
    showLine(stage, title, called);
    others.push(called);
  }
  page.note(
    '',
    'Masquerading: a pod that calls a ClusterIP is seen under its own address. Whoever comes from outside the pods,',
    'or by a NodePort, is seen as the node that led him on, so that the answer comes back by way of that node.',
    '* The machine outside has a route for ClusterIPs by way of node1; in most clusters it would have none.',
  );
  return sum([main, ...others].map(requestsIn));
};
