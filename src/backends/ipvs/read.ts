/**
 * Reads our objects from the kernel, in listing form.
 *
 * Link and sets are ours by their names. A virtual server is ours if its address is on our link or its address and port are
 * in one of our sets. A real server that drains (see draining.ts) is not listed.
 */
import { Turn } from '../../dataplane/turn.ts';
import type { Ipvs } from '../../ipvs-netlink/ipvs.ts';
import type { IpvsDestination, IpvsService, ServiceKey } from '../../ipvs-netlink/types.ts';
import { cidrContains, type IPFamily, isLoopback } from '../../model/address.ts';
import { type ListedSet, readSets, type SetDefinition, type SetEntry } from '../../netlink/ipset.ts';
import { getLink, type LinkAddress, readAddresses } from '../../netlink/route.ts';
import { readSysctls, type Sysctl } from '../xtables/sysctl.ts';
import type { Draining } from './draining.ts';
import { type Handles, using } from './handles.ts';
import type { MarksFound, PacketMarks } from './marks.ts';
import { DEVICE, SET_NAMES, setName } from './names.ts';
import {
  address,
  device,
  entry,
  type IpSetEntry,
  type IpvsObject,
  ipSet,
  ipvsTimeouts,
  markedEntry,
  realServer,
  virtualServer,
} from './objects.ts';
import type { IpvsSettings } from './settings.ts';

/** Tries of reading the virtual servers in pieces while our own writes change the list. The last try blocks the event loop. */
const MAX_LISTS = 3;

/** Called with every real server of ours, also with those that drain. */
export type OnDestination = (service: ServiceKey, destination: IpvsDestination) => void;

export const readIpvsObjects = async (
  handles: Handles,
  /** Undefined for a read-only backend: draining real servers are listed, as leaving. */
  draining: Draining | undefined,
  family: IPFamily,
  settings: IpvsSettings,
  sysctls: readonly Sysctl[],
  marks: PacketMarks,
  onDestination?: OnDestination,
): Promise<readonly IpvsObject[]> => {
  const { links, open, ipvs } = handles;
  const begun = marks.begin();
  const link = getLink(links, DEVICE);
  const addresses = await using(open.links, (end) => readAddresses(end, family));
  const own = addresses.filter(({ index, scope }) => index === link?.index && scope === 'global');
  const names = SET_NAMES.map((name) => setName(name, family));
  const listed = await using(open.sets, (end) => readSets(end, names));
  const all = await listServices(handles);
  marks.adopt(marksIn(listed, all, family, marks), begun);
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

/**
 * Lists virtual servers in pieces, between which the event loop runs. The kernel resumes a list by position: a list that
 * changes meanwhile may lack some, without an error.
 */
const listServices = async ({ ipvs, open }: Handles): Promise<readonly IpvsService[]> => {
  for (let attempt = 1; attempt <= MAX_LISTS; attempt += 1) {
    const { messages } = ipvs.sent;
    const services: IpvsService[] = [];
    await using(open.ipvs, (reader) => reader.visitServices((service) => services.push(service)));
    if (ipvs.sent.messages === messages) return services;
  }
  return ipvs.services();
};

/** Time-outs that are not configured are not compared. */
const withoutUnset = <T extends Readonly<Record<'tcp' | 'tcpFin' | 'udp', number>>>(found: T, wanted: T) => ({
  tcp: wanted.tcp === 0 ? 0 : found.tcp,
  tcpFin: wanted.tcpFin === 0 ? 0 : found.tcpFin,
  udp: wanted.udp === 0 ? 0 : found.udp,
});

/** Recorded numbers of our marks, and all numbers in the kernel. */
const marksIn = (
  listed: ReadonlyMap<string, ListedSet>,
  services: readonly IpvsService[],
  family: IPFamily,
  { settings }: PacketMarks,
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

/** Sets and entries, also of a set with our name and another type: its content differs from the desired one. */
const setObjects = async (sets: readonly ListedSet[], marks: PacketMarks): Promise<readonly IpvsObject[]> => {
  const turn = new Turn();
  const objects: IpvsObject[] = [];
  for (const { definition, entries } of sets) {
    objects.push(ipSet(definition));
    for (const one of entries) {
      if (turn.isOver()) await turn.rest();
      objects.push(listedEntry(definition, one, marks));
    }
  }
  return objects;
};

/** Entries of recorded marks get the mark's name. A record with a number that is not recorded keeps the number. */
const listedEntry = (definition: SetDefinition, one: SetEntry, marks: PacketMarks): IpSetEntry => {
  const { mark } = one;
  const name = mark?.mask === marks.settings.mask ? marks.nameOf(mark.value) : undefined;
  return name === undefined ? entry(definition, one) : markedEntry(definition, one, name);
};

const serverObjects = async (
  reader: Ipvs,
  draining: Draining | undefined,
  services: readonly IpvsService[],
  onDestination?: OnDestination,
): Promise<readonly IpvsObject[]> => {
  const objects: IpvsObject[] = [];
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
      else if (draining.countsAsPresent(key, destination)) objects.push(server);
    }
  }
  draining?.retain(leaving);
  return objects;
};

const ownership = (
  family: IPFamily,
  { excluded }: IpvsSettings,
  addresses: readonly LinkAddress[],
  own: readonly LinkAddress[],
  sets: ReadonlyMap<string, ListedSet>,
): ((service: IpvsService) => boolean) => {
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
    // an excluded network protects virtual servers of others, not those at addresses and ports of Services
    return held.has(key.address) && !excluded.some((cidr) => cidrContains(cidr, key.address));
  };
};

const BITS = Array.from({ length: 32 }, (_, i) => 2 ** i);

/** Marks that an entry may have for this virtual server: the mark itself, or the mark without the masquerade bit. */
export const marksOf = (fwmark: number): readonly number[] => [
  fwmark,
  ...BITS.filter((bit) => (fwmark & bit) !== 0).map((bit) => (fwmark ^ bit) >>> 0),
];
