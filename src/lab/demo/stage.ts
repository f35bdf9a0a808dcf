/**
 * What the demo plays on: the lab, the API server in it, servers on its pods and a proxy on each node.
 *
 * Owns what is made and takes it down again, at the end or as soon as the signal comes: then whatever still waits for a
 * part of it fails at once, so nothing has to be told to stop.
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

/** The pods behind the Services at first, the one that takes another's place later, and the one that calls them. */
export const FIRST_PODS: readonly HostName[] = ['pod1', 'pod2', 'remote1', 'remote2'];
export const LEAVING_POD: HostName = 'remote2';
export const JOINING_POD: HostName = 'remote3';
export const CALLING_POD: HostName = 'pod3';

/** The pods behind the Services after that. */
export const LAST_PODS: readonly HostName[] = FIRST_PODS.map((pod) => (pod === LEAVING_POD ? JOINING_POD : pod));

/** Where pods are: whoever comes from elsewhere is masqueraded. */
const PROXY_FLAGS: readonly string[] = [`--cluster-cidr=${LAB_NETWORKS.cluster.IPv4},${LAB_NETWORKS.cluster.IPv6}`];

/** Plays on a new stage, and takes it down whatever happens. Throws the signal's reason when that has come. */
export const withStage = async <T>(
  page: DemoPage,
  signal: AbortSignal,
  play: (stage: Stage) => Promise<T>,
): Promise<T> => {
  const lab = await createNetwork({ pods: { node1: 3, node2: 3 }, signal }).catch((error: unknown) => {
    if (!(error instanceof AggregateError)) signal.throwIfAborted(); // that one says what could not be taken down
    throw error;
  });
  let cluster: Cluster | undefined;
  const perform = async (): Promise<T> => {
    signal.throwIfAborted();
    cluster = await startCluster(lab);
    return play({ lab, cluster, page, signal });
  };
  const stop = (): void => void lab.remove().catch(() => undefined); // the call below tells
  signal.addEventListener('abort', stop, { once: true });
  const [outcome] = await Promise.allSettled([perform()]);
  signal.removeEventListener('abort', stop);
  await Promise.all([lab.remove(), cluster?.remove()]);
  // only now: Ctrl-C reaches all processes at once, and the end of another one may be noticed before it
  signal.throwIfAborted();
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
};

/** Starts a Service's server on a pod, in the name of the pod. */
export const serveOn = async ({ lab, signal }: Stage, pod: HostName): Promise<AgentTask<ServerState>> => {
  const agent = await lab.agent(pod);
  await agent.serve({ protocol: 'udp', port: ECHO.targetPort, name: pod }, signal);
  return agent.serve({ protocol: 'tcp', port: WEB.targetPort, name: pod }, signal);
};

/** Starts the proxy of a node, and waits until it has looked at the kernel and at the cluster. */
export const startProxyOn = async ({ cluster }: Stage, node: NodeName): Promise<NodeProxy> => {
  const proxy = cluster.startProxy(node, PROXY_FLAGS);
  await Promise.all(FAMILIES.map((family) => proxy.said(new RegExp(`"ipFamily":"${family}","fullSync":true.*\n`))));
  return proxy;
};

/** What one would type to start it. */
export const commandLines = (node: NodeName): readonly string[] => [
  `${node}$ pointsman run --kubeconfig=… --hostname-override=${node} \\`,
  `           ${PROXY_FLAGS.join(' ')}`,
];

/** What it has said so far, without the date. */
export const logLines = (proxy: NodeProxy): readonly string[] =>
  proxy
    .log()
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\[\S+ (\S+)\]/, '$1'));

export const putNodes = ({ lab, cluster }: Stage): Promise<void> =>
  cluster.put(NODES.map((node) => nodeObject(lab, node)));
