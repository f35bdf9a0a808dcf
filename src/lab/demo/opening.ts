/** The first scenes: the lab, the API server and the proxies, the Services and how soon they answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { IPFamily } from '../../model/address.ts';
import type { NodeProxy } from '../cluster.ts';
import type { HostName, NodeName } from '../network/plan.ts';
import { addressOf, targetOf } from './calls.ts';
import { allReady, type DemoService, ECHO, FAMILIES, NODES, serviceObject, sliceObjects, WEB } from './objects.ts';
import {
  CALLING_POD,
  FIRST_PODS,
  JOINING_POD,
  PROXY_FLAGS,
  putNodes,
  type Stage,
  serveOn,
  startProxyOn,
} from './stage.ts';

export const showLab = (stage: Stage): void => {
  const { page, lab } = stage;
  const at = (name: HostName, width: number): string => `${name} ${addressOf(stage, name, 'IPv4')}`.padEnd(width);
  const role = (name: HostName): string =>
    name === CALLING_POD ? 'calls' : name === JOINING_POD ? 'comes later' : 'answers';
  const pods = (['pod', 'remote'] as const).map((kind) => lab.hosts.filter(({ name }) => name.startsWith(kind)));
  const pod = (name: HostName, isLast: boolean): string => `${isLast ? '└─' : '├─'} ${at(name, 20)} ${role(name)}`;
  const rows = (pods[0] ?? []).map((left, i) => {
    const right = pods[1]?.[i];
    const isLast = i === (pods[0]?.length ?? 0) - 1;
    return `  ${pod(left.name, isLast).padEnd(46)}${right === undefined ? '' : pod(right.name, isLast)}`;
  });
  page.section('A lab of network namespaces: two nodes with pods, a machine outside, an API server');
  page.say(
    `    ${at('outside', 46)}${at('apiserver', 0)}`,
    `    │${' '.repeat(45)}│`,
    `  ──┴──────────────────────── switch ──────────────┴──────────────────`,
    `    │${' '.repeat(45)}│`,
    `  ${at('node1', 46)}${at('node2', 0)}`,
    ...rows,
  );
  page.note(
    '',
    `IPv6 is there too: node1 is ${addressOf(stage, 'node1', 'IPv6')}, pod1 ${addressOf(stage, 'pod1', 'IPv6')}.`,
  );
};

/** Starts the proxies as they would run on real nodes. */
export const startProxies = async (stage: Stage): Promise<ReadonlyMap<NodeName, NodeProxy>> => {
  const { page, cluster } = stage;
  page.section('One proxy per node, each a process of its own');
  page.say(`The API server listens at ${cluster.url}.`);
  await putNodes(stage);
  const proxies = await Promise.all(
    NODES.map(async (node): Promise<[NodeName, NodeProxy]> => [node, await startProxyOn(stage, node)]),
  );
  for (const [node, proxy] of proxies) {
    page.say('', `${node}$ pointsman run --kubeconfig=… --hostname-override=${node} ${PROXY_FLAGS.join(' ')}`);
    page.quote(...proxy.log().trimEnd().split('\n'));
  }
  return new Map(proxies);
};

/** Milliseconds since `began` at which a host first gets an answer. */
const firstAnswer = async (
  stage: Stage,
  from: HostName,
  service: DemoService,
  family: IPFamily,
  began: number,
): Promise<number> => {
  const agent = await stage.lab.agent(from);
  const target = { ...targetOf(stage, service, 'ClusterIP', family), timeoutMs: 20 };
  for (;;) {
    const [outcome] = await agent.probe(target, stage.signal);
    if (outcome?.kind === 'answer') return performance.now() - began;
    if (performance.now() - began > 20_000) throw new Error(`${service.name} does not answer ${from} over ${family}`);
    await sleep(2, undefined, { signal: stage.signal });
  }
};

/** Creates the Services and waits until both nodes serve them in both families. */
export const createServices = async (stage: Stage): Promise<void> => {
  const { page, lab, cluster } = stage;
  page.section('Two Services of both families, with two pods on each node');
  await Promise.all(FIRST_PODS.map((pod) => serveOn(stage, pod)));
  const agents = [CALLING_POD, 'node2'] as const;
  await Promise.all(agents.map((name) => lab.agent(name)));
  for (const { name, protocol, clusterIPs, port, nodePort } of [WEB, ECHO]) {
    const at = `ClusterIPs ${clusterIPs.IPv4} and ${clusterIPs.IPv6} port ${port}, NodePort ${nodePort}`;
    page.say(`${name.padEnd(5)} ${protocol}  ${at}`);
  }
  const began = performance.now();
  const wait = (service: DemoService) =>
    agents.flatMap((from) => FAMILIES.map((family) => firstAnswer(stage, from, service, family, began)));
  const answers = Promise.all([WEB, ECHO].flatMap(wait));
  await Promise.all([
    cluster.put(
      [WEB, ECHO].flatMap((service) => [serviceObject(service), ...sliceObjects(lab, service, allReady(FIRST_PODS))]),
    ),
    answers,
  ]);
  const times = await answers;
  page.say(
    '',
    `From the write to the API server to the first answer: ${Math.round(Math.min(...times))} ms;` +
      ` both Services, on both nodes, in both families: ${Math.round(Math.max(...times))} ms.`,
  );
};
