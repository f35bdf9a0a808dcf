/** Demo, opening: the lab, the API server, the proxies, and the time until the Services answer. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { IPFamily } from '../../model/address.ts';
import type { NodeProxy } from '../cluster.ts';
import type { AgentTask, ServerState } from '../network/agent/calls.ts';
import type { HostName, NodeName } from '../network/plan.ts';
import { addressOf, targetOf } from './calls.ts';
import { allReady, type DemoService, ECHO, FAMILIES, NODES, serviceObject, sliceObjects, WEB } from './objects.ts';
import {
  CALLING_POD,
  commandLines,
  FIRST_PODS,
  JOINING_POD,
  LEAVING_POD,
  logLines,
  putNodes,
  type Stage,
  serveOn,
  startProxyOn,
} from './stage.ts';

/** Column of the picture's right half. */
const HALF = 46;

const nameAndAddress = (stage: Stage, name: HostName): string => `${name} ${addressOf(stage, name, 'IPv4')}`;

/** Pods of a node, one line each. */
const podLines = (stage: Stage, node: NodeName): readonly string[] => {
  const pods = stage.lab.hosts.filter((host) => host.node === node);
  return pods.map(({ name }, i) => {
    const role = name === CALLING_POD ? 'calls' : name === JOINING_POD ? 'comes later' : 'answers';
    return `${i === pods.length - 1 ? '└─' : '├─'} ${nameAndAddress(stage, name).padEnd(20)} ${role}`;
  });
};

export const showLab = (stage: Stage): void => {
  const { page } = stage;
  const at = (name: HostName): string => nameAndAddress(stage, name);
  const halves = (left: string, right: string): string => `${left.padEnd(HALF)}${right}`;
  const [left, right] = [podLines(stage, 'node1'), podLines(stage, 'node2')];
  page.section('A lab of network namespaces: two nodes with pods, a machine outside, an API server');
  page.say(
    halves(at('outside'), at('apiserver')),
    halves('  │', '  │'),
    `──┴${' switch '.padStart(26, '─').padEnd(HALF - 1, '─')}┴${'─'.repeat(HALF - 20)}`,
    halves('  │', '  │'),
    halves(at('node1'), at('node2')),
    ...left.map((line, i) => halves(line, right[i] ?? '').trimEnd()),
  );
  page.note(
    '',
    `IPv6 is there too: node1 is ${addressOf(stage, 'node1', 'IPv6')}, pod1 ${addressOf(stage, 'pod1', 'IPv6')}.`,
  );
};

/** Starts the proxies as on real nodes; returns that of node1. */
export const startProxies = async (stage: Stage): Promise<NodeProxy> => {
  const { page, cluster } = stage;
  page.section('One proxy per node, each a process of its own');
  page.say(`The API server listens at ${cluster.url}.`, '');
  await putNodes(stage);
  const [proxy] = await Promise.all([startProxyOn(stage, 'node1'), startProxyOn(stage, 'node2')]);
  page.say(...NODES.flatMap(commandLines), '');
  page.note(`What ${NODES[0]} says:`);
  page.quote(...logLines(proxy));
  return proxy;
};

const DEADLINE_MS = 20_000;
const FIRST_TIMEOUT_MS = 20;
const PAUSE_MS = 2;
/** First source port, below the kernel's ephemeral range. */
const FIRST_PORT = 20_000;

/**
 * Milliseconds from `began` to a host's first answer. Each call has an unused source port: conntrack remembers a call
 * before the rules as one without DNAT, and would treat a later call from that port alike.
 */
const firstAnswer = async (
  stage: Stage,
  from: HostName,
  service: DemoService,
  family: IPFamily,
  began: number,
): Promise<number> => {
  const agent = await stage.lab.agent(from);
  const target = targetOf(stage, service, 'ClusterIP', family);
  for (let localPort = FIRST_PORT; ; localPort += 1) {
    const elapsed = performance.now() - began;
    if (elapsed > DEADLINE_MS) throw new Error(`${service.name} does not answer ${from} over ${family}`);
    // short at first for precision, then longer for slow machines
    const timeoutMs = Math.round(FIRST_TIMEOUT_MS + elapsed / 10);
    const [outcome] = await agent.probe({ ...target, localPort, timeoutMs }, stage.signal);
    if (outcome?.kind === 'answer') return performance.now() - began;
    await sleep(PAUSE_MS, undefined, { signal: stage.signal });
  }
};

const describeService = ({ name, protocol, clusterIPs, port, nodePort }: DemoService): string =>
  `${name.padEnd(4)}  ${protocol}  ClusterIPs ${clusterIPs.IPv4} and ${clusterIPs.IPv6} port ${port}, NodePort ${nodePort}`;

/**
 * Creates the Services and waits until both nodes serve them in both families; returns the server of the leaving pod.
 */
export const createServices = async (stage: Stage): Promise<AgentTask<ServerState>> => {
  const { page, lab, cluster } = stage;
  page.section('Two Services of both families, with two pods on each node');
  page.say(...[WEB, ECHO].map(describeService));
  const leavingServer = serveOn(stage, LEAVING_POD);
  await Promise.all(FIRST_PODS.map((pod) => (pod === LEAVING_POD ? leavingServer : serveOn(stage, pod))));
  const callers = [CALLING_POD, 'node2'] as const;
  await Promise.all(callers.map((name) => lab.agent(name)));
  const began = performance.now();
  const objects = [WEB, ECHO].flatMap((service) => [
    serviceObject(service),
    ...sliceObjects(lab, service, allReady(FIRST_PODS)),
  ]);
  const waits = [WEB, ECHO].flatMap((service) =>
    callers.flatMap((from) => FAMILIES.map((family) => firstAnswer(stage, from, service, family, began))),
  );
  const [times] = await Promise.all([Promise.all(waits), cluster.put(objects)]);
  page.say(
    '',
    `From the write to the API server to the first answer: ${Math.round(Math.min(...times))} ms;`,
    `until both Services answered on both nodes in both families: ${Math.round(Math.max(...times))} ms.`,
  );
  return leavingServer;
};
