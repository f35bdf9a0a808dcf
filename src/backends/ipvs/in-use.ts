/**
 * Virtual servers with established connections, and the objects that these connections need besides: the address on the
 * link, and the set entries by which a later read recognises them as ours.
 */
import type { IpvsDestination, ServiceKey } from '../../ipvs-netlink/types.ts';
import type { IpvsConnection } from '../../kernel/ipvs-connections.ts';
import { parseIP } from '../../model/address.ts';
import { isMarkKey } from './marks.ts';
import { type IpSetEntry, type IpvsObject, isMarkRecord, serviceFlag } from './objects.ts';
import { marksOf } from './read.ts';

/** Protocol, address and port that clients connect to: `TCP 10.96.0.1 443`. */
export type FrontendKey = string;

const frontendKey = (protocol: string, address: string, port: number): FrontendKey =>
  `${protocol.toUpperCase()} ${address} ${port}`;

const isOfUdp = (frontend: FrontendKey): boolean => frontend.startsWith('UDP ');

/** Frontends of a virtual server. Those of one selected by a mark are the entries with that mark. */
export type FrontendKeysOf = (key: ServiceKey) => readonly FrontendKey[];

export const frontendKeysIn = (objects: readonly IpvsObject[]): FrontendKeysOf => {
  const byMark = new Map<number | string, FrontendKey[]>();
  for (const object of objects) {
    if (object.kind !== 'entry' || isMarkRecord(object)) continue;
    const { protocol, address, port } = object.entry;
    const mark = object.mark ?? object.entry.mark?.value;
    if (mark === undefined || protocol === undefined || address === undefined || port === undefined) continue;
    const frontends = byMark.get(mark) ?? [];
    frontends.push(frontendKey(protocol, address, port));
    byMark.set(mark, frontends);
  }
  const marksOfKey = (key: Extract<ServiceKey, { fwmark: number }>): readonly (number | string)[] =>
    isMarkKey(key) ? [key.mark] : marksOf(key.fwmark);
  return (key) =>
    'fwmark' in key
      ? marksOfKey(key).flatMap((mark) => byMark.get(mark) ?? [])
      : [frontendKey(key.protocol, key.address, key.port)];
};

/** Whether all frontends are UDP, whose flows have no end to wait for. */
export const isUdp = (frontends: readonly FrontendKey[]): boolean => frontends.length > 0 && frontends.every(isOfUdp);

/** Collects the virtual servers whose real servers have connections, or ones that IPVS has not yet expired. */
export class BusyServers {
  readonly #busy = new Map<string, ServiceKey>();

  add(key: ServiceKey, { activeConnections, inactiveConnections }: IpvsDestination): void {
    if (activeConnections + inactiveConnections > 0) this.#busy.set(serviceFlag(key), key);
  }

  get all(): readonly ServiceKey[] {
    return [...this.#busy.values()];
  }
}

const TIME_WAIT_S = 120;
const SYN_SENT_S = 120;
/** Seconds in TIME_WAIT after which the last packets of a closed connection have arrived. */
const TIME_WAIT_GRACE_S = 2;
/**
 * Seconds in SYN_SENT after which a connection is over. This state is a server's packet without a client's: the connection
 * had ended, and the client reuses its port for one that bypasses IPVS. Deleting objects here also deletes the new one's
 * flow, so it gets this time to finish.
 */
const SYN_SENT_GRACE_S = 10;

/** Whether a connection has ended: IPVS lists it for some time after its end. */
export const isOver = ({ state, expires }: IpvsConnection): boolean =>
  state === 'CLOSE' ||
  state === 'CLOSED' ||
  (state === 'TIME_WAIT' && expires <= TIME_WAIT_S - TIME_WAIT_GRACE_S) ||
  (state === 'SYN_SENT' && expires <= SYN_SENT_S - SYN_SENT_GRACE_S);

/** Counts established connections by frontend. */
export const countLive = async (
  connections: AsyncIterable<IpvsConnection>,
): Promise<ReadonlyMap<FrontendKey, number>> => {
  const live = new Map<FrontendKey, number>();
  for await (const connection of connections) {
    if (isOver(connection)) continue;
    const { protocol, address, port } = connection;
    const frontend = frontendKey(protocol, parseIP(address) ?? address, port);
    live.set(frontend, (live.get(frontend) ?? 0) + 1);
  }
  return live;
};

/** Objects in use, of one IP family. */
export interface InUse {
  readonly connections: number;
  /** Whether an established connection runs through the object, or is recognised by it. */
  needs(object: IpvsObject): boolean;
}

/**
 * Counts connections to an address and port of a virtual server only. IPVS also lists a connection for a packet of the node
 * that is translated already and still carries a mark of this mode: no client needs it.
 */
export const findInUse = async (
  busy: readonly ServiceKey[],
  frontendKeysOf: FrontendKeysOf,
  connections: () => AsyncIterable<IpvsConnection>,
): Promise<InUse> => {
  const awaited = busy.filter((key) => !isUdp(frontendKeysOf(key)));
  const live = awaited.length === 0 ? new Map<FrontendKey, number>() : await countLive(connections());
  const used = awaited.filter((key) => frontendKeysOf(key).some((frontend) => live.has(frontend)));
  const servers = new Set(used.map(serviceFlag));
  const frontends = new Set(used.flatMap(frontendKeysOf));
  const addresses = new Set([...frontends].flatMap((frontend) => frontend.split(' ')[1] ?? []));
  const ports = new Set([...frontends].map(withoutAddress));
  const marks = new Set(used.flatMap((key) => (isMarkKey(key) ? [key.mark] : [])));
  return {
    connections: [...frontends].reduce((sum, frontend) => sum + (live.get(frontend) ?? 0), 0),
    needs: (object) => {
      if (object.kind === 'virtual-server') return servers.has(serviceFlag(object.key));
      if (object.kind === 'address') return addresses.has(object.address);
      if (object.kind !== 'entry') return false;
      return isMarkRecord(object) ? marks.has(object.mark ?? '') : isEntryOf(object, { frontends, addresses, ports });
    },
  };
};

const withoutAddress = (frontend: FrontendKey): string => frontend.replace(/ \S+ /, ' ');

interface FrontendsInUse {
  readonly frontends: ReadonlySet<FrontendKey>;
  readonly addresses: ReadonlySet<string>;
  /** `TCP 30080` */
  readonly ports: ReadonlySet<string>;
}

const isEntryOf = ({ set, entry }: IpSetEntry, { frontends, addresses, ports }: FrontendsInUse): boolean => {
  const { address, protocol, port = 0 } = entry;
  if (address !== undefined && protocol !== undefined) return frontends.has(frontendKey(protocol, address, port));
  if (address !== undefined) return addresses.has(address);
  return ports.has(`${/-(TCP|UDP)$/.exec(set.name)?.[1]} ${port}`);
};
