/**
 * What the kernel holds of ours, in listing form.
 *
 * Link and sets are ours by their names. A virtual server is ours if its address is on our link or its address and port are
 * in one of our sets; all others are somebody else's. A real server on its way out (see draining.ts) counts as gone.
 */
import { setImmediate as pause } from 'node:timers/promises';
import type { Destination, Service, ServiceKey } from '../../ipvs-netlink/types.ts';
import { cidrContains, type IPFamily, isLoopback } from '../../model/address.ts';
import { type ListedSet, listSets } from '../../netlink/ipset.ts';
import { getLink, type LinkAddress, listAddresses } from '../../netlink/route.ts';
import { readSysctls, type Sysctl } from '../xtables/sysctl.ts';
import type { Draining } from './draining.ts';
import type { Handles } from './handles.ts';
import { DEVICE, SET_NAMES, setName } from './names.ts';
import { address, device, entry, type Held, ipSet, ipvsTimeouts, realServer, virtualServer } from './objects.ts';
import type { IpvsSettings } from './settings.ts';

/** After so many virtual servers other work gets a turn. */
const TURN = 200;

/** Hears of every real server that is ours, also of those on their way out. */
export type OnDestination = (service: ServiceKey, destination: Destination) => void;

export const readHeld = async (
  handles: Handles,
  draining: Draining,
  family: IPFamily,
  settings: IpvsSettings,
  sysctls: readonly Sysctl[],
  onDestination?: OnDestination,
): Promise<readonly Held[]> => {
  const { links, sets, ipvs } = handles;
  const link = getLink(links, DEVICE);
  const addresses = listAddresses(links, family);
  const own = addresses.filter(({ index, scope }) => index === link?.index && scope === 'global');
  const listed = listSets(
    sets,
    SET_NAMES.map((name) => setName(name, family)),
  );
  const services = ipvs.services().filter(ownership(family, settings, addresses, own, listed));
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
    ...[...listed.values()].flatMap(setObjects),
    ...(await serverObjects(handles, draining, services, onDestination)),
  ];
};

/** A time-out that is not configured is not compared. */
const withoutUnset = <T extends Readonly<Record<'tcp' | 'tcpFin' | 'udp', number>>>(found: T, wanted: T) => ({
  tcp: wanted.tcp === 0 ? 0 : found.tcp,
  tcpFin: wanted.tcpFin === 0 ? 0 : found.tcpFin,
  udp: wanted.udp === 0 ? 0 : found.udp,
});

/** A set of our name and another shape is not what we want, whatever is in it: its shape differs from the wanted one. */
const setObjects = ({ definition, entries }: ListedSet): readonly Held[] => [
  ipSet(definition),
  ...entries.map((one) => entry(definition, one)),
];

const serverObjects = async (
  { ipvs }: Handles,
  draining: Draining,
  services: readonly Service[],
  onDestination?: OnDestination,
): Promise<readonly Held[]> => {
  const objects: Held[] = [];
  const leaving = new Set<string>();
  for (const [i, { key, settings }] of services.entries()) {
    if (i % TURN === TURN - 1) await pause();
    objects.push(virtualServer(key, settings));
    for (const destination of ipvs.destinations(key)) {
      onDestination?.(key, destination);
      const server = realServer(key, destination.key, destination.settings);
      if (destination.settings.weight === 0) leaving.add(server.id);
      if (draining.counts(key, destination)) objects.push(server);
    }
  }
  draining.remember(leaving);
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
