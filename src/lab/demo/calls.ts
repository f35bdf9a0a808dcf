/** Ways to call a Service: who calls, by which of its addresses; and the tally of what came of it. */
import type { IPFamily } from '../../model/address.ts';
import type { LoadTotals, Running } from '../network/agent/calls.ts';
import { type HostName, LAB_NETWORKS } from '../network/plan.ts';
import { type DemoService, NODES } from './objects.ts';
import { CALLING_POD, type Stage } from './stage.ts';

export type Entrance = 'ClusterIP' | 'NodePort at node1' | 'NodePort at node2';

export interface Way {
  readonly from: HostName;
  readonly by: Entrance;
}

const CALLERS: readonly HostName[] = [CALLING_POD, 'node1', 'node2', 'outside'];
const ENTRANCES: readonly Entrance[] = ['ClusterIP', 'NodePort at node1', 'NodePort at node2'];

/** Every caller by every entrance. */
export const WAYS: readonly Way[] = CALLERS.flatMap((from) => ENTRANCES.map((by) => ({ from, by })));

export interface Requests {
  readonly made: number;
  readonly failed: number;
}

export const sum = (parts: readonly Requests[]): Requests => ({
  made: parts.reduce((total, { made }) => total + made, 0),
  failed: parts.reduce((total, { failed }) => total + failed, 0),
});

export const addressOf = ({ lab }: Pick<Stage, 'lab'>, name: HostName, family: IPFamily): string =>
  lab.host(name)[family === 'IPv4' ? 'ipv4' : 'ipv6'];

/** Where a call by an entrance goes. */
export const targetOf = (stage: Stage, service: DemoService, by: Entrance, family: IPFamily) => {
  const protocol = service.protocol === 'TCP' ? ('tcp' as const) : ('udp' as const);
  if (by === 'ClusterIP') return { protocol, host: service.clusterIPs[family], port: service.port };
  const node = by === 'NodePort at node1' ? 'node1' : 'node2';
  return { protocol, host: addressOf(stage, node, family), port: service.nodePort };
};

/** Whose each address is; a node has one more in its pods' network. */
export const ownersOf = ({ lab }: Stage): ReadonlyMap<string, HostName> =>
  new Map([
    ...lab.hosts.flatMap(({ name, ipv4, ipv6 }): [string, HostName][] => [
      [ipv4, name],
      [ipv6, name],
    ]),
    ...NODES.flatMap((node): [string, HostName][] => [
      [LAB_NETWORKS[node].IPv4.replace(/0\/\d+$/, '1'), node],
      [LAB_NETWORKS[node].IPv6.replace(/\/\d+$/, '1'), node],
    ]),
  ]);

/** Calls one after the other in four rows, each on a connection of its own, until it is stopped. */
export const startLoad = async (
  stage: Stage,
  service: DemoService,
  { from, by }: Way,
): Promise<Running<LoadTotals>> => {
  const agent = await stage.lab.agent(from);
  const target = targetOf(stage, service, by, 'IPv4');
  return agent.load({ ...target, parallel: 4, pauseMs: 4, timeoutMs: 3_000 }, stage.signal);
};

export const requestsOf = ({ tries, answers }: { readonly tries: number; readonly answers: number }): Requests => ({
  made: tries,
  failed: tries - answers,
});
