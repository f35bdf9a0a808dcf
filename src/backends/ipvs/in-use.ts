/**
 * Virtual servers with established connections, and the objects that these connections need besides: the address on the
 * link, and the set entries by which a later read recognises them as ours.
 */
import type { Destination, ServiceKey } from '../../ipvs-netlink/types.ts';
import type { IpvsConnection } from '../../kernel/ipvs-connections.ts';
import { parseIP } from '../../model/address.ts';
import { isMarkKey } from './marks.ts';
import { type Entry, type Held, isRecord, serviceFlag } from './objects.ts';
import { marksOf } from './read.ts';

/** Protocol, address and port that clients connect to: `TCP 10.96.0.1 443`. */
export type Front = string;

const frontOf = (protocol: string, address: string, port: number): Front =>
  `${protocol.toUpperCase()} ${address} ${port}`;

const isOfUdp = (front: Front): boolean => front.startsWith('UDP ');

/** Frontends of a virtual server. Those of one selected by a mark are the entries with that mark. */
export type FrontsOf = (key: ServiceKey) => readonly Front[];

export const frontsIn = (objects: readonly Held[]): FrontsOf => {
  const byMark = new Map<number | string, Front[]>();
  for (const object of objects) {
    if (object.kind !== 'entry' || isRecord(object)) continue;
    const { protocol, address, port } = object.entry;
    const mark = object.mark ?? object.entry.mark?.value;
    if (mark === undefined || protocol === undefined || address === undefined || port === undefined) continue;
    const fronts = byMark.get(mark) ?? [];
    fronts.push(frontOf(protocol, address, port));
    byMark.set(mark, fronts);
  }
  const marksOfKey = (key: Extract<ServiceKey, { fwmark: number }>): readonly (number | string)[] =>
    isMarkKey(key) ? [key.mark] : marksOf(key.fwmark);
  return (key) =>
    'fwmark' in key
      ? marksOfKey(key).flatMap((mark) => byMark.get(mark) ?? [])
      : [frontOf(key.protocol, key.address, key.port)];
};

/** Whether all frontends are UDP, whose flows have no end to wait for. */
export const isUdp = (fronts: readonly Front[]): boolean => fronts.length > 0 && fronts.every(isOfUdp);

/** Collects the virtual servers whose real servers have connections, or ones that IPVS has not yet expired. */
export class BusyServers {
  readonly #busy = new Map<string, ServiceKey>();

  add(key: ServiceKey, { activeConnections, inactiveConnections }: Destination): void {
    if (activeConnections + inactiveConnections > 0) this.#busy.set(serviceFlag(key), key);
  }

  get all(): readonly ServiceKey[] {
    return [...this.#busy.values()];
  }
}

const TIME_WAIT_S = 120;
const SYN_SENT_S = 120;
/** Seconds in TIME_WAIT after which the last packets of a closed connection have arrived. */
const REST_S = 2;
/**
 * Seconds in SYN_SENT after which a connection is over. This state is a server's packet without a client's: the connection
 * had ended, and the client reuses its port for one that bypasses IPVS. Deleting objects here also deletes the new one's
 * flow, so it gets this time to finish.
 */
const SPEAKS_OUT_S = 10;

/** Whether a connection has ended: IPVS lists it for some time after its end. */
export const isOver = ({ state, expires }: IpvsConnection): boolean =>
  state === 'CLOSE' ||
  state === 'CLOSED' ||
  (state === 'TIME_WAIT' && expires <= TIME_WAIT_S - REST_S) ||
  (state === 'SYN_SENT' && expires <= SYN_SENT_S - SPEAKS_OUT_S);

/** Counts established connections by frontend. */
export const countLive = async (connections: AsyncIterable<IpvsConnection>): Promise<ReadonlyMap<Front, number>> => {
  const live = new Map<Front, number>();
  for await (const connection of connections) {
    if (isOver(connection)) continue;
    const { protocol, address, port } = connection;
    const front = frontOf(protocol, parseIP(address) ?? address, port);
    live.set(front, (live.get(front) ?? 0) + 1);
  }
  return live;
};

/** Objects in use, of one IP family. */
export interface InUse {
  readonly connections: number;
  /** Whether an established connection runs through the object, or is recognised by it. */
  needs(object: Held): boolean;
}

/**
 * Counts connections to an address and port of a virtual server only. IPVS also lists a connection for a packet of the node
 * that is translated already and still carries a mark of this mode: no client needs it.
 */
export const findInUse = async (
  busy: readonly ServiceKey[],
  frontsOf: FrontsOf,
  connections: () => AsyncIterable<IpvsConnection>,
): Promise<InUse> => {
  const awaited = busy.filter((key) => !isUdp(frontsOf(key)));
  const live = awaited.length === 0 ? new Map<Front, number>() : await countLive(connections());
  const used = awaited.filter((key) => frontsOf(key).some((front) => live.has(front)));
  const servers = new Set(used.map(serviceFlag));
  const fronts = new Set(used.flatMap(frontsOf));
  const addresses = new Set([...fronts].flatMap((front) => front.split(' ')[1] ?? []));
  const ports = new Set([...fronts].map(withoutAddress));
  const marks = new Set(used.flatMap((key) => (isMarkKey(key) ? [key.mark] : [])));
  return {
    connections: [...fronts].reduce((sum, front) => sum + (live.get(front) ?? 0), 0),
    needs: (object) => {
      if (object.kind === 'virtual-server') return servers.has(serviceFlag(object.key));
      if (object.kind === 'address') return addresses.has(object.address);
      if (object.kind !== 'entry') return false;
      return isRecord(object) ? marks.has(object.mark ?? '') : isEntryOf(object, { fronts, addresses, ports });
    },
  };
};

const withoutAddress = (front: Front): string => front.replace(/ \S+ /, ' ');

interface Places {
  readonly fronts: ReadonlySet<Front>;
  readonly addresses: ReadonlySet<string>;
  /** `TCP 30080` */
  readonly ports: ReadonlySet<string>;
}

const isEntryOf = ({ set, entry }: Entry, { fronts, addresses, ports }: Places): boolean => {
  const { address, protocol, port = 0 } = entry;
  if (address !== undefined && protocol !== undefined) return fronts.has(frontOf(protocol, address, port));
  if (address !== undefined) return addresses.has(address);
  return ports.has(`${/-(TCP|UDP)$/.exec(set.name)?.[1]} ${port}`);
};
