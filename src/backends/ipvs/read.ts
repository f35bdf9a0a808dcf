/**
 * What the kernel holds of ours, in listing form.
 *
 * Link and sets are ours by their names. A virtual server is ours if its address is on our link or its address and port are
 * in one of our sets; all others are somebody else's. A real server on its way out (see draining.ts) counts as gone.
 */
import { Turn } from '../../dataplane/turn.ts';
import type { Ipvs } from '../../ipvs-netlink/ipvs.ts';
import type { Destination, Service, ServiceKey } from '../../ipvs-netlink/types.ts';
import { cidrContains, type IPFamily, isLoopback } from '../../model/address.ts';
import { type ListedSet, readSets, type SetDefinition, type SetEntry } from '../../netlink/ipset.ts';
import { getLink, type LinkAddress, readAddresses } from '../../netlink/route.ts';
import { readSysctls, type Sysctl } from '../xtables/sysctl.ts';
import type { Draining } from './draining.ts';
import { type Handles, using } from './handles.ts';
import type { Marks, MarksFound } from './marks.ts';
import { DEVICE, SET_NAMES, setName } from './names.ts';
import {
  address,
  device,
  type Entry,
  entry,
  type Held,
  ipSet,
  ipvsTimeouts,
  markedEntry,
  realServer,
  virtualServer,
} from './objects.ts';
import type { IpvsSettings } from './settings.ts';

/** A list of virtual servers that our own writes keep changing is read at a stretch at last. */
const MAX_LISTS = 3;

/** Hears of every real server that is ours, also of those on their way out. */
export type OnDestination = (service: ServiceKey, destination: Destination) => void;

export const readHeld = async (
  handles: Handles,
  /** Undefined where one only looks: what drains is listed then, as leaving. */
  draining: Draining | undefined,
  family: IPFamily,
  settings: IpvsSettings,
  sysctls: readonly Sysctl[],
  marks: Marks,
  onDestination?: OnDestination,
): Promise<readonly Held[]> => {
  const { links, open, ipvs } = handles;
  const begun = marks.begin();
  const link = getLink(links, DEVICE);
  const addresses = await using(open.links, (end) => readAddresses(end, family));
  const own = addresses.filter(({ index, scope }) => index === link?.index && scope === 'global');
  const names = SET_NAMES.map((name) => setName(name, family));
  const listed = await using(open.sets, (end) => readSets(end, names));
  const all = await listServices(handles);
  marks.learn(marksIn(listed, all, family, marks), begun);
  const services = all.filter(ownership(family, settings, addresses, own, listed));
  const { tcp, tcpFin, udp } = settings.timeouts;
  const found = tcp + tcpFin + udp > 0 ? [ipvsTimeouts(withoutUnset(ipvs.timeouts(), settings.timeouts))] : [];
  return [
    ...(await readSysctls(
      handles.sysctls,
      sysctls.map(({ path }) => path),
    )),
    ...found,
    ...(link === undefined ? [] : [device]),
    ...own.map((one) => address(one.address)),
    ...(await setObjects([...listed.values()], marks)),
    ...(await using(open.ipvs, (reader) =>
      serverObjects(
        reader,
        draining,
        services.map(({ key, ...rest }) => ({ ...rest, key: marks.named(key) })),
        onDestination,
      ),
    )),
  ];
};

/** With rests. The kernel counts its way through the list: one that changes meanwhile may lack some, and does not say so. */
const listServices = async ({ ipvs, open }: Handles): Promise<readonly Service[]> => {
  for (let attempt = 1; attempt <= MAX_LISTS; attempt += 1) {
    const { messages } = ipvs.sent;
    const services: Service[] = [];
    await using(open.ipvs, (reader) => reader.visitServices((service) => services.push(service)));
    if (ipvs.sent.messages === messages) return services;
  }
  return ipvs.services();
};

/** A time-out that is not configured is not compared. */
const withoutUnset = <T extends Readonly<Record<'tcp' | 'tcpFin' | 'udp', number>>>(found: T, wanted: T) => ({
  tcp: wanted.tcp === 0 ? 0 : found.tcp,
  tcpFin: wanted.tcpFin === 0 ? 0 : found.tcpFin,
  udp: wanted.udp === 0 ? 0 : found.udp,
});

/** Numbers that a mark of ours has in the kernel, and all that are there at all. */
const marksIn = (
  listed: ReadonlyMap<string, ListedSet>,
  services: readonly Service[],
  family: IPFamily,
  { settings }: Marks,
): MarksFound => {
  const recorded = new Map<number, string>();
  for (const { address: ip, protocol, port, mark } of listed.get(setName('EXTERNAL-POLICY-OWNER', family))?.entries ??
    []) {
    if (mark?.mask === settings.mask) recorded.set(mark.value, `${ip} ${protocol} ${port}`);
  }
  const inSets = [...listed.values()].flatMap(({ entries }) => entries.flatMap(({ mark }) => mark?.value ?? []));
  const ofServers = services.flatMap(({ key }) => ('fwmark' in key && key.family === family ? [key.fwmark] : []));
  return { recorded, seen: [...inSets, ...ofServers] };
};

/** A set of our name and another shape is not what we want, whatever is in it: its shape differs from the wanted one. */
const setObjects = async (sets: readonly ListedSet[], marks: Marks): Promise<readonly Held[]> => {
  const turn = new Turn();
  const objects: Held[] = [];
  for (const { definition, entries } of sets) {
    objects.push(ipSet(definition));
    for (const one of entries) {
      if (turn.isOver()) await turn.rest();
      objects.push(listedEntry(definition, one, marks));
    }
  }
  return objects;
};

/** Marks that are recorded have a name; a record of another number than its own stands as it is. */
const listedEntry = (definition: SetDefinition, one: SetEntry, marks: Marks): Entry => {
  const { mark } = one;
  const name = mark?.mask === marks.settings.mask ? marks.nameOf(mark.value) : undefined;
  return name === undefined ? entry(definition, one) : markedEntry(definition, one, name);
};

const serverObjects = async (
  reader: Ipvs,
  draining: Draining | undefined,
  services: readonly Service[],
  onDestination?: OnDestination,
): Promise<readonly Held[]> => {
  const objects: Held[] = [];
  const leaving = new Set<string>();
  const turn = new Turn();
  for (const { key, settings } of services) {
    if (turn.isLong()) await turn.rest();
    objects.push(virtualServer(key, settings));
    for (const destination of reader.destinations(key)) {
      onDestination?.(key, destination);
      const server = realServer(key, destination.key, destination.settings);
      const isLeaving = destination.settings.weight === 0;
      if (isLeaving) leaving.add(server.id);
      if (draining === undefined) objects.push(isLeaving ? { ...server, leaves: true } : server);
      else if (draining.counts(key, destination)) objects.push(server);
    }
  }
  draining?.remember(leaving);
  return objects;
};

const ownership = (
  family: IPFamily,
  { excluded }: IpvsSettings,
  addresses: readonly LinkAddress[],
  own: readonly LinkAddress[],
  sets: ReadonlyMap<string, ListedSet>,
): ((service: Service) => boolean) => {
  const held = new Set(own.map((one) => one.address));
  const local = new Set(addresses.map((one) => one.address).filter((ip) => !isLoopback(ip)));
  const frontends = new Set<string>();
  const ports = new Set<string>();
  const marks = new Set<number>();
  for (const { definition, entries } of sets.values()) {
    const protocol = /-(TCP|UDP)$/.exec(definition.name)?.[1];
    for (const { address: ip, protocol: of, port, mark } of entries) {
      if (mark !== undefined) marks.add(mark.value);
      if (ip !== undefined && of !== undefined) frontends.add(`${of.toUpperCase()} ${ip} ${port}`);
      else if (protocol !== undefined) ports.add(`${protocol} ${port}`);
    }
  }
  return ({ key }) => {
    if ('fwmark' in key) return key.family === family && marksOf(key.fwmark).some((mark) => marks.has(mark));
    if ((key.address.includes(':') ? 'IPv6' : 'IPv4') !== family) return false;
    if (frontends.has(`${key.protocol} ${key.address} ${key.port}`)) return true;
    if (local.has(key.address) && ports.has(`${key.protocol} ${key.port}`)) return true;
    // an excluded network protects what others have there, and does not hide what Services have there
    return held.has(key.address) && !excluded.some((cidr) => cidrContains(cidr, key.address));
  };
};

const BITS = Array.from({ length: 32 }, (_, i) => 2 ** i);

/** What may stand in the set for it: the mark itself, or one bit less than the node's own packets carry. */
export const marksOf = (fwmark: number): readonly number[] => [
  fwmark,
  ...BITS.filter((bit) => (fwmark & bit) !== 0).map((bit) => (fwmark ^ bit) >>> 0),
];
