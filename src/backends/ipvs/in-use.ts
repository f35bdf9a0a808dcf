/**
 * Which virtual servers have connections that still run, and what these need besides: their address on the link, and the
 * entries by which a later look knows whose they are.
 */
import type { Destination, ServiceKey } from '../../ipvs-netlink/types.ts';
import type { IpvsConnection } from '../../kernel/ipvs-connections.ts';
import { parseIP } from '../../model/address.ts';
import { type Entry, type Held, serviceFlag } from './objects.ts';
import { marksOf } from './read.ts';

/** Where clients connect to: `TCP 10.96.0.1 443`. */
export type Front = string;

const frontOf = (protocol: string, address: string, port: number): Front =>
  `${protocol.toUpperCase()} ${address} ${port}`;

const isOfUdp = (front: Front): boolean => front.startsWith('UDP ');

/** Of a virtual server behind a mark: the entries that lead to it. */
export type FrontsOf = (key: ServiceKey) => readonly Front[];

export const frontsIn = (objects: readonly Held[]): FrontsOf => {
  const byMark = new Map<number, Front[]>();
  for (const object of objects) {
    if (object.kind !== 'entry' || object.entry.mark === undefined) continue;
    const { mark, protocol, address, port } = object.entry;
    if (protocol === undefined || address === undefined || port === undefined) continue;
    const fronts = byMark.get(mark.value) ?? [];
    fronts.push(frontOf(protocol, address, port));
    byMark.set(mark.value, fronts);
  }
  return (key) =>
    'fwmark' in key
      ? marksOf(key.fwmark).flatMap((mark) => byMark.get(mark) ?? [])
      : [frontOf(key.protocol, key.address, key.port)];
};

/** UDP knows no end of a connection: nothing is awaited there. */
export const isUdp = (fronts: readonly Front[]): boolean => fronts.length > 0 && fronts.every(isOfUdp);

/** A virtual server with those of its real servers that have connections, or had some lately. */
export interface Busy {
  readonly key: ServiceKey;
  active: number;
  inactive: number;
}

/** Takes real servers as they are read; gives the virtual servers that may be in use. */
export class BusyServers {
  readonly #busy = new Map<string, Busy>();

  add(key: ServiceKey, { activeConnections, inactiveConnections }: Destination): void {
    if (activeConnections + inactiveConnections === 0) return;
    const id = serviceFlag(key);
    const busy = this.#busy.get(id) ?? { key, active: 0, inactive: 0 };
    busy.active += activeConnections;
    busy.inactive += inactiveConnections;
    this.#busy.set(id, busy);
  }

  get all(): readonly Busy[] {
    return [...this.#busy.values()];
  }
}

const TIME_WAIT_S = 120;
/** So long after both ends have said goodbye the last of their words may still be under way. */
const REST_S = 3;

/** IPVS remembers a connection for some time after its end. */
export const isOver = ({ state, expires }: IpvsConnection): boolean =>
  state === 'CLOSE' || state === 'CLOSED' || (state === 'TIME_WAIT' && expires <= TIME_WAIT_S - REST_S);

/** Fronts with connections that are not over → how many. */
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

/** What is in use, of one family. */
export interface InUse {
  /** Ids of virtual servers. */
  readonly servers: ReadonlySet<string>;
  readonly connections: number;
  /** Whether somebody's connection runs through what this is, or is told by it. */
  needs(object: Held): boolean;
}

/**
 * The list of connections is long where there are many, so it is only asked for about virtual servers of which all
 * connections may be over.
 */
export const findInUse = async (
  busy: readonly Busy[],
  frontsOf: FrontsOf,
  connections: () => AsyncIterable<IpvsConnection>,
): Promise<InUse> => {
  const awaited = busy.filter(({ key }) => !isUdp(frontsOf(key)));
  const isDoubtful = awaited.some(({ active }) => active === 0);
  const live = isDoubtful ? await countLive(connections()) : new Map<Front, number>();
  const countOf = ({ key, active }: Busy): number =>
    active > 0 ? active : frontsOf(key).reduce((sum, front) => sum + (live.get(front) ?? 0), 0);
  const used = awaited.flatMap((one) => (countOf(one) > 0 ? [{ ...one, count: countOf(one) }] : []));
  const servers = new Set(used.map(({ key }) => `service ${serviceFlag(key)}`));
  const fronts = new Set(used.flatMap(({ key }) => frontsOf(key)));
  const addresses = new Set([...fronts].flatMap((front) => front.split(' ')[1] ?? []));
  const ports = new Set([...fronts].map(withoutAddress));
  return {
    servers,
    connections: used.reduce((sum, { count }) => sum + count, 0),
    needs: (object) => {
      if (object.kind === 'virtual-server') return servers.has(object.id);
      if (object.kind === 'address') return addresses.has(object.address);
      return object.kind === 'entry' && isEntryOf(object, { fronts, addresses, ports });
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
