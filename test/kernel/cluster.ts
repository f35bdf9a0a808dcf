/** What the kernel tests share: a lab with a cluster in it, servers on its pods, and probes that know what to expect. */
import type { Cluster } from '../../src/lab/cluster.ts';
import { startCluster } from '../../src/lab/cluster.ts';
import { createNetwork, type Lab } from '../../src/lab/network/lab.ts';
import type { ProbeOutcome, Transport } from '../../src/lab/network/outcome.ts';
import { NODE_OBJECT, type PodName, TARGET_PORT } from '../conformance/world.ts';

export interface Bench {
  readonly lab: Lab;
  readonly cluster: Cluster;
  remove(): Promise<void>;
}

const PODS: readonly PodName[] = ['pod1', 'pod2', 'remote1', 'remote2'];

/** A lab with an API server that knows node1, and pods that answer on TCP and UDP port 8080. */
export const startBench = async (): Promise<Bench> => {
  const lab = await createNetwork();
  try {
    const cluster = await startCluster(lab);
    await cluster.put([NODE_OBJECT]);
    await Promise.all(
      PODS.map(async (name) => {
        const agent = await lab.agent(name);
        for (const protocol of ['tcp', 'udp'] as const) await agent.serve({ protocol, port: TARGET_PORT, name });
      }),
    );
    const remove = async (): Promise<void> => {
      await cluster.remove();
      await lab.remove();
    };
    return { lab, cluster, remove };
  } catch (error) {
    await lab.remove();
    throw error;
  }
};

/** Waits until a probe's first outcome is an answer; throws with the last outcome when none comes. */
export const untilAnswered = async (
  lab: Lab,
  from: 'pod3' | 'node1' | 'outside',
  target: { readonly protocol: Transport; readonly host: string; readonly port: number },
  timeoutMs = 10_000,
): Promise<void> => {
  const agent = await lab.agent(from);
  const deadline = Date.now() + timeoutMs;
  let last: ProbeOutcome | undefined;
  while (Date.now() < deadline) {
    [last] = await agent.probe({ ...target, tries: 1, timeoutMs: 300 });
    if (last?.kind === 'answer') return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${target.host}:${target.port} does not answer: ${JSON.stringify(last)}`);
};

/** What iptables-save shows, without what varies: time stamps and counters. */
export const saved = async (lab: Lab, tool: string): Promise<string> => {
  const { stdout } = await lab.run('node1', `${tool}-save`);
  return stdout
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/\[\d+:\d+\]/, '[0:0]'))
    .join('\n');
};

export const VARIANTS = [{ variant: 'nft' }, { variant: 'legacy' }] as const;
