/** Test bed of the measurements: a cluster in a lab, many Services, a proxy on node1, and its cost. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, type NodeProxy, startCluster } from '../src/lab/cluster.ts';
import { manyServices } from '../src/lab/many.ts';
import { createNetwork, type Lab } from '../src/lab/network/lab.ts';

/** Implementation of the rules. */
export type Variant = 'iptables-nft' | 'iptables-legacy' | 'nftables';

export const VARIANTS: Readonly<Record<Variant, readonly string[]>> = {
  'iptables-nft': ['--proxy-mode=iptables', '--iptables-tool=nft'],
  'iptables-legacy': ['--proxy-mode=iptables', '--iptables-tool=legacy'],
  nftables: ['--proxy-mode=nftables', '--nodeport-addresses=0.0.0.0/0,::/0'],
};

export interface TestBed {
  readonly lab: Lab;
  readonly cluster: Cluster;
  remove(): Promise<void>;
}

const NODE = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node1' } };
const READY_MS = 300_000;
const CHUNK = 1_000;

export const createTestBed = async (): Promise<TestBed> => {
  const lab = await createNetwork();
  try {
    const cluster = await startCluster(lab);
    await cluster.put([NODE]);
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

export const putServices = async ({ cluster }: TestBed, count: number, endpoints: number): Promise<void> => {
  for (let from = 0; from < count; from += CHUNK) {
    await cluster.put(manyServices(from, Math.min(CHUNK, count - from), endpoints));
  }
};

/** Starts the proxy with its default flags and waits for its first full sync. */
export const startProxy = async ({ cluster }: TestBed, variant: Variant): Promise<NodeProxy> => {
  const proxy = cluster.startProxy('node1', ['--cluster-cidr=10.200.0.0/16', ...VARIANTS[variant]]);
  await proxy.waitForLog(/"ipFamily":"IPv4","fullSync":true.*\n/, READY_MS);
  return proxy;
};

const TICKS_PER_SECOND = 100;

/** CPU seconds of a process and of its children that have exited (proc(5), fields 14 to 17). */
export const cpuSeconds = async (pid: number): Promise<number> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0) / TICKS_PER_SECOND;
};

/** Peak and present resident memory in MB. */
export const memory = async (pid: number): Promise<{ readonly peak: number; readonly now: number }> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const of = (name: string): number => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
  return { peak: of('VmHWM'), now: of('VmRSS') };
};

export const quantile = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
};

export const show = (what: string, figures: Readonly<Record<string, string | number>>): void => {
  const text = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  console.log(`${what.padEnd(46)} ${text.join('  ')}`);
};

export { sleep };
