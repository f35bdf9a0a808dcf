/** Objects of this backend, desired and installed. Data, constructors and their listing form. */
import type { KernelObject } from '../../dataplane/contract.ts';
import type { DestinationKey, DestinationSettings, ServiceKey, ServiceSettings } from '../../ipvs-netlink/types.ts';
import type { SetDefinition, SetEntry } from '../../netlink/ipset.ts';
import type { Jump, XtablesChain } from '../xtables/objects.ts';
import { formatSysctl, type Sysctl } from '../xtables/sysctl.ts';
import type { MarkKey } from './marks.ts';
import { DEVICE, setName } from './names.ts';

export interface VirtualServer extends KernelObject {
  readonly kind: 'virtual-server';
  readonly key: ServiceKey;
  readonly settings: ServiceSettings;
}

export interface RealServer extends KernelObject {
  readonly kind: 'real-server';
  readonly service: ServiceKey;
  readonly key: DestinationKey;
  readonly settings: DestinationSettings;
  /** Removal keeps connections until they end. False for UDP, whose flows have no end and move to other servers at once. */
  readonly drains: boolean;
}

/** The dummy link, kube-ipvs0. */
export interface Device extends KernelObject {
  readonly kind: 'device';
}

/** An address on the dummy link. */
export interface Address extends KernelObject {
  readonly kind: 'address';
  readonly address: string;
}

export interface IpSet extends KernelObject {
  readonly kind: 'set';
  readonly definition: SetDefinition;
}

export interface IpSetEntry extends KernelObject {
  readonly kind: 'entry';
  readonly set: SetDefinition;
  readonly entry: SetEntry;
  /** Name of the mark that the entry carries. */
  readonly mark?: string;
}

/** Time-outs of IPVS, in seconds. 0: unchanged. */
export interface IpvsTimeouts extends KernelObject {
  readonly kind: 'timeouts';
  readonly seconds: { readonly tcp: number; readonly tcpFin: number; readonly udp: number };
}

export type NetlinkObject = VirtualServer | RealServer | Device | Address | IpSet | IpSetEntry | Sysctl | IpvsTimeouts;
export type IpvsObject = NetlinkObject | XtablesChain | Jump;

/** A frontend with all its objects: the unit that is granted to one of several Services. */
export interface FrontendServers extends KernelObject {
  readonly kind: 'frontend';
  readonly objects: readonly (VirtualServer | RealServer | IpSetEntry)[];
  /** Id of the frontend of any Service that goes before this one at the same address and port. */
  readonly yieldsTo?: string;
  /** True for a frontend without any endpoint, which the yielding one replaces. */
  readonly isVacant?: boolean;
}

export type DesiredIpvsObject = IpvsObject | FrontendServers;

const PROTOCOL_FLAG = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' } as const;

const hostPort = ({ address, port }: DestinationKey): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** Names a virtual server as ipvsadm does: `-t 10.96.0.1:443`, `-f 16385 -6`. A named mark: `-f (10.96.0.1 tcp 80)`. */
export const serviceFlag = (key: ServiceKey | MarkKey): string => {
  if (!('fwmark' in key)) return `${PROTOCOL_FLAG[key.protocol]} ${hostPort(key)}`;
  const mark = 'mark' in key ? `(${key.mark}${key.isOwn ? ', own' : ''})` : key.fwmark;
  return `-f ${mark}${key.family === 'IPv6' ? ' -6' : ''}`;
};

const schedulerFlags = (settings: ServiceSettings): string => {
  const { scheduler, hasFallback, hashesPort } = settings;
  const prefix = scheduler === 'mh' || scheduler === 'sh' ? scheduler : 'flag';
  const [first, second] = prefix === 'flag' ? ['flag-1', 'flag-2'] : [`${prefix}-fallback`, `${prefix}-port`];
  const flags = [...(hasFallback ? [first] : []), ...(hashesPort ? [second] : [])];
  return flags.length === 0 ? '' : ` -b ${flags.join(',')}`;
};

/** Id of a virtual server. */
export const serverId = (key: ServiceKey | MarkKey): string => `service ${serviceFlag(key)}`;

export const virtualServer = (key: ServiceKey, settings: ServiceSettings): VirtualServer => {
  const persistence = settings.persistenceSeconds > 0 ? ` -p ${settings.persistenceSeconds}` : '';
  const onePacket = settings.isOnePacket ? ' -o' : '';
  return {
    kind: 'virtual-server',
    id: serverId(key),
    content: `-s ${settings.scheduler}${onePacket}${persistence}${schedulerFlags(settings)}`,
    key,
    settings,
  };
};

const FORWARDING_FLAG = { masquerade: '-m', local: '-m', tunnel: '-i', route: '-g', bypass: '-g' } as const;

/** The kernel lists no protocol for a virtual server of a mark: there the caller gives `drains`. */
export const realServer = (
  service: ServiceKey,
  key: DestinationKey,
  settings: DestinationSettings,
  drains: boolean = 'fwmark' in service || service.protocol !== 'UDP',
): RealServer => {
  const { forwarding, weight, upperThreshold, lowerThreshold } = settings;
  const bounds = upperThreshold + lowerThreshold > 0 ? ` -x ${upperThreshold} -y ${lowerThreshold}` : '';
  return {
    kind: 'real-server',
    id: `server ${serviceFlag(service)} -r ${hostPort(key)}`,
    content: `${FORWARDING_FLAG[forwarding]} -w ${weight}${bounds}`,
    service,
    key,
    settings,
    drains,
  };
};

export const device: Device = { kind: 'device', id: `link ${DEVICE}`, content: 'dummy' };

export const address = (ip: string): Address => ({ kind: 'address', id: `address ${ip}`, content: '', address: ip });

/** The content leaves out the hash size: it grows with the entries. */
export const ipSet = (definition: SetDefinition): IpSet => {
  const { name, type, family, maxEntries, hasMarks } = definition;
  const shape =
    type === 'bitmap:port'
      ? 'range 0-65535'
      : `family ${family === 'IPv6' ? 'inet6' : 'inet'} hashsize 1024 maxelem ${maxEntries}`;
  return { kind: 'set', id: `set ${name}`, content: `${type} ${shape}${hasMarks ? ' skbinfo' : ''}`, definition };
};

/** Formats a network as ipset does, which leaves out the length of a single address. */
const withLength = (ip: string, prefix: number | undefined): string =>
  prefix === undefined || prefix === (ip.includes(':') ? 128 : 32) ? ip : `${ip}/${prefix}`;

/** Formats an entry as ipset does: `10.96.0.1,tcp:443`, `30080`, `10.0.0.1,udp:53,10.0.0.0/8`. */
const entryText = ({ address: ip, protocol, port, second, prefix }: SetEntry): string => {
  const portText = port === undefined ? undefined : `${protocol === undefined ? '' : `${protocol}:`}${port}`;
  const parts = [ip, portText, second === undefined ? undefined : withLength(second, prefix)];
  return parts.filter((part) => part !== undefined).join(',');
};

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

export const entry = (set: SetDefinition, value: SetEntry): IpSetEntry => {
  const { mark } = value;
  const content = mark === undefined ? '' : ` skbmark ${hex(mark.value)}/${hex(mark.mask)}`;
  return { kind: 'entry', id: `entry ${set.name} ${entryText(value)}`, content, set, entry: value };
};

/** Whether an entry records the owner of its mark. */
export const isMarkRecord = ({ set, entry: { address: ip = '' } }: IpSetEntry): boolean =>
  set.name === setName('EXTERNAL-POLICY-OWNER', ip.includes(':') ? 'IPv6' : 'IPv4');

/** An entry with a mark, by the mark's name. */
export const markedEntry = (set: SetDefinition, value: SetEntry, mark: string): IpSetEntry => ({
  ...entry(set, value),
  content: ` skbmark (${mark})`,
  mark,
});

export const ipvsTimeouts = (seconds: IpvsTimeouts['seconds']): IpvsTimeouts => ({
  kind: 'timeouts',
  id: 'ipvs timeouts',
  stays: true,
  content: `--set ${seconds.tcp} ${seconds.tcpFin} ${seconds.udp}`,
  seconds,
});

export const frontendServers = (
  id: string,
  objects: FrontendServers['objects'],
  more: Pick<FrontendServers, 'yieldsTo' | 'isVacant'> = {},
): FrontendServers => ({
  kind: 'frontend',
  id,
  content: [...(more.isVacant ? ['vacant'] : []), ...objects.map((object) => `${object.id} ${object.content}`)].join(
    '\n',
  ),
  objects,
  ...more,
});

const unnamed = (key: ServiceKey): ServiceKey => ('fwmark' in key ? { fwmark: key.fwmark, family: key.family } : key);

/** Drops the name of a numbered mark, so that the object is printed as the tools show it. */
export const withoutNames = (object: NetlinkObject): NetlinkObject => {
  switch (object.kind) {
    case 'virtual-server':
      return virtualServer(unnamed(object.key), object.settings);
    case 'real-server':
      return realServer(unnamed(object.service), object.key, object.settings, object.drains);
    case 'entry':
      return object.mark === undefined ? object : entry(object.set, object.entry);
    default:
      return object;
  }
};

/** Formats an object as input of the tool that would write it. */
export const formatObject = (object: NetlinkObject): string => {
  switch (object.kind) {
    case 'virtual-server':
      return `-A ${serviceFlag(object.key)} ${object.content}`;
    case 'real-server':
      return `-a ${serviceFlag(object.service)} -r ${hostPort(object.key)} ${object.content}`;
    case 'device':
      return `link add ${DEVICE} type dummy`;
    case 'address':
      return `address add ${object.address}/${object.address.includes(':') ? 128 : 32} dev ${DEVICE}`;
    case 'set':
      return `create ${object.definition.name} ${object.content}`;
    case 'entry':
      return `add ${object.set.name} ${entryText(object.entry)}${object.content}`;
    case 'sysctl':
      return formatSysctl(object);
    case 'timeouts':
      return object.content;
  }
};
