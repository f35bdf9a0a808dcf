/** Ways to call a Service: who calls, by which of its addresses, and as whom the pods are to see the caller. */
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

/** Every caller by every entrance. */
export const CALL_PATHS: readonly CallPath[] = CALLERS.flatMap((from) => CALLED_ADDRESSES.map((by) => ({ from, by })));

export const formatPath = ({ from, by }: CallPath): string => `${from} to ${by}`;

export const addressOf = ({ lab }: Pick<Stage, 'lab'>, name: HostName, family: IPFamily): string =>
  lab.host(name)[family === 'IPv4' ? 'ipv4' : 'ipv6'];

/** Where a call by an entrance goes. */
export const targetOf = (stage: Stage, service: DemoService, by: CalledAddress, family: IPFamily) => {
  const protocol = service.protocol === 'TCP' ? ('tcp' as const) : ('udp' as const);
  if (by === 'ClusterIP') return { protocol, host: service.clusterIPs[family], port: service.port };
  const node = by === 'NodePort at node1' ? 'node1' : 'node2';
  return { protocol, host: addressOf(stage, node, family), port: service.nodePort };
};

/**
 * As whom the pods are to see a caller. Whoever comes by a node port is masqueraded by that node. To a ClusterIP pods
 * and nodes come under addresses of their own; the machine outside is neither, and node1 masquerades it on its way.
 */
export const expectedClient = ({ from, by }: CallPath): HostName => {
  if (by === 'ClusterIP') return from === 'outside' ? 'node1' : from;
  return by === 'NodePort at node1' ? 'node1' : 'node2';
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
