/**
 * Environment of the demo: the lab, its API server, servers on pods and a proxy on each node.
 *
 * Owns creation and removal. On abort it is removed at once, and whatever waits for a part of it fails, so that no
 * scene needs to be stopped.
 */
import { type Cluster, type NodeProxy, startCluster } from '../cluster.ts';
import type { AgentTask, ServerState } from '../network/agent/calls.ts';
import { createNetwork, type Lab } from '../network/lab.ts';
import { type HostName, LAB_NETWORKS, type NodeName } from '../network/plan.ts';
import { ECHO, FAMILIES, NODES, nodeObject, WEB } from './objects.ts';
import type { DemoPage } from './page.ts';

export interface Stage {
  readonly lab: Lab;
  readonly cluster: Cluster;
  readonly page: DemoPage;
  readonly signal: AbortSignal;
}

/** Pods of the Services at first, the pod that leaves, the pod that replaces it, and the pod that calls. */
export const FIRST_PODS: readonly HostName[] = ['pod1', 'pod2', 'remote1', 'remote2'];
export const LEAVING_POD: HostName = 'remote2';
export const JOINING_POD: HostName = 'remote3';
export const CALLING_POD: HostName = 'pod3';

/** Pods of the Services after the replacement. */
export const LAST_PODS: readonly HostName[] = FIRST_PODS.map((pod) => (pod === LEAVING_POD ? JOINING_POD : pod));

/** Pod networks: traffic from outside them is masqueraded. */
const PROXY_FLAGS: readonly string[] = [`--cluster-cidr=${LAB_NETWORKS.cluster.IPv4},${LAB_NETWORKS.cluster.IPv6}`];

/** Creates a stage, runs `play`, and removes the stage in any case. Throws the signal's reason when aborted. */
export const withStage = async <T>(
  page: DemoPage,
  signal: AbortSignal,
  play: (stage: Stage) => Promise<T>,
): Promise<T> => {
  const lab = await createNetwork({ pods: { node1: 3, node2: 3 }, signal }).catch((error: unknown) => {
    if (!(error instanceof AggregateError)) signal.throwIfAborted(); // AggregateError: what could not be removed
    throw error;
  });
  let cluster: Cluster | undefined;
  const perform = async (): Promise<T> => {
    signal.throwIfAborted();
    cluster = await startCluster(lab);
    return play({ lab, cluster, page, signal });
  };
  const stop = (): void => void lab.remove().catch(() => undefined); // the call below reports it
  signal.addEventListener('abort', stop, { once: true });
  const [outcome] = await Promise.allSettled([perform()]);
  signal.removeEventListener('abort', stop);
  await Promise.all([lab.remove(), cluster?.remove()]);
  // checked last: Ctrl-C reaches all processes at once, and another one's exit may be seen before it
  signal.throwIfAborted();
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
};

/** Starts the Services' servers on a pod, with the pod's name. */
export const serveOn = async ({ lab, signal }: Stage, pod: HostName): Promise<AgentTask<ServerState>> => {
  const agent = await lab.agent(pod);
  await agent.serve({ protocol: 'udp', port: ECHO.targetPort, name: pod }, signal);
  return agent.serve({ protocol: 'tcp', port: WEB.targetPort, name: pod }, signal);
};

/** Starts the proxy of a node, and waits for its first full syncs. */
export const startProxyOn = async ({ cluster }: Stage, node: NodeName): Promise<NodeProxy> => {
  const proxy = cluster.startProxy(node, PROXY_FLAGS);
  await Promise.all(
    FAMILIES.map((family) => proxy.waitForLog(new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`))),
  );
  return proxy;
};

/** Command line of a proxy, as shown. */
export const commandLines = (node: NodeName): readonly string[] => [
  `${node}$ pointsman run --kubeconfig=… --hostname-override=${node} \\`,
  `           ${PROXY_FLAGS.join(' ')}`,
];

/** Log of a proxy without dates. */
export const logLines = (proxy: NodeProxy): readonly string[] =>
  proxy
    .log()
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\[\S+ (\S+)\]/, '$1'));

export const putNodes = ({ lab, cluster }: Stage): Promise<void> =>
  cluster.put(NODES.map((node) => nodeObject(lab, node)));
