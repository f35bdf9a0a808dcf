/** Call paths to a Service: caller, called address, and the source address that pods must see. */
import type { IPFamily } from '../../model/address.ts';
import { type HostName, LAB_NETWORKS, type NodeName } from '../network/plan.ts';
import { type DemoService, NODES } from './objects.ts';
import { CALLING_POD, type Stage } from './stage.ts';

type CalledAddress = 'ClusterIP' | `NodePort at ${NodeName}`;

export interface CallPath {
  readonly from: HostName;
  readonly by: CalledAddress;
}

const CALLERS: readonly HostName[] = [CALLING_POD, 'node1', 'node2', 'outside'];
const CALLED_ADDRESSES: readonly CalledAddress[] = ['ClusterIP', 'NodePort at node1', 'NodePort at node2'];

/** All callers with all called addresses. */
export const CALL_PATHS: readonly CallPath[] = CALLERS.flatMap((from) => CALLED_ADDRESSES.map((by) => ({ from, by })));

export const formatPath = ({ from, by }: CallPath): string => `${from} to ${by}`;

export const addressOf = ({ lab }: Pick<Stage, 'lab'>, name: HostName, family: IPFamily): string =>
  lab.host(name)[family === 'IPv4' ? 'ipv4' : 'ipv6'];

/** Target of a call to an address of a Service. */
export const targetOf = (stage: Stage, service: DemoService, by: CalledAddress, family: IPFamily) => {
  const protocol = service.protocol === 'TCP' ? ('tcp' as const) : ('udp' as const);
  if (by === 'ClusterIP') return { protocol, host: service.clusterIPs[family], port: service.port };
  const node = by === 'NodePort at node1' ? 'node1' : 'node2';
  return { protocol, host: addressOf(stage, node, family), port: service.nodePort };
};

/**
 * Host whose address the pods must see. A node masquerades calls to its NodePort. Calls to a ClusterIP from pods and
 * nodes keep their source address; node1 masquerades those of the machine outside, which is neither.
 */
export const expectedClient = ({ from, by }: CallPath): HostName => {
  if (by === 'ClusterIP') return from === 'outside' ? 'node1' : from;
  return by === 'NodePort at node1' ? 'node1' : 'node2';
};

/** Owner of each address; a node has another one in its pod network. */
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
