/** Links and their addresses: rtnetlink(7), linux/rtnetlink.h. */
import { type AddressFamily, addressBytes, FAMILY, familyOfAddress, formatAddress } from './address.ts';
import {
  type Attribute,
  decode,
  decodeNest,
  encode,
  getText,
  nest,
  bytes as raw,
  sizeOf,
  text,
  u32,
} from './attributes.ts';
import { readI32, readU32, writeI32 } from './bytes.ts';
import type { NetlinkConnection } from './connection.ts';
import { ERRNO, NetlinkError } from './error.ts';
import { FLAG, type Message, type Request } from './message.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** Kind such as `dummy`; empty for a physical link. */
  readonly kind: string;
  readonly isUp: boolean;
}

export interface LinkAddress {
  readonly index: number;
  readonly address: string;
  readonly prefix: number;
  readonly scope: 'global' | 'site' | 'link' | 'host' | 'nowhere';
}

const NEWLINK = 16;
const DELLINK = 17;
const GETLINK = 18;
const NEWADDR = 20;
const DELADDR = 21;
const GETADDR = 22;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFF_UP = 1;
const AF_UNSPEC = 0;
/** No duplicate address detection: an IPv6 address is usable at once, and stays when another node has it too. */
const IFA_F_NODAD = 2;
const LINK_HEADER = 16;
const ADDRESS_HEADER = 8;
const SCOPES: Readonly<Record<number, LinkAddress['scope']>> = {
  0: 'global',
  200: 'site',
  253: 'link',
  254: 'host',
  255: 'nowhere',
};

const linkRequest = (type: number, flags: number, attributes: readonly Attribute[]): Request => {
  const body = Buffer.alloc(LINK_HEADER + sizeOf(attributes));
  encode(body, LINK_HEADER, attributes);
  return { type, flags, body };
};

/** Link by name; undefined when there is none. Throws NetlinkError. */
export const getLink = (connection: NetlinkConnection, name: string): Link | undefined => {
  try {
    const answer = connection.get(linkRequest(GETLINK, 0, [text(IFLA_IFNAME, name)]));
    return answer === undefined ? undefined : linkOf(answer);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ERRNO.ENODEV) return undefined;
    throw error;
  }
};

export const listLinks = (connection: NetlinkConnection): readonly Link[] =>
  connection.dump(linkRequest(GETLINK, 0, [])).map(linkOf);

const linkOf = ({ body }: Message): Link => {
  const attributes = decode(body.subarray(LINK_HEADER));
  return {
    index: readI32(body, 4),
    name: getText(attributes, IFLA_IFNAME),
    kind: getText(decodeNest(attributes, IFLA_LINKINFO), IFLA_INFO_KIND),
    isUp: (readU32(body, 8) & IFF_UP) !== 0,
  };
};

/** Creates a dummy link, which stays down: its addresses are local all the same. EEXIST when a link has this name. */
export const newDummy = (name: string): Request =>
  linkRequest(NEWLINK, FLAG.CREATE | FLAG.EXCL, [
    text(IFLA_IFNAME, name),
    nest(IFLA_LINKINFO, [text(IFLA_INFO_KIND, 'dummy')]),
  ]);

/** Deletes a link with its addresses. ENODEV when there is none. */
export const deleteLink = (name: string): Request => linkRequest(DELLINK, 0, [text(IFLA_IFNAME, name)]);

const addressRequest = (
  type: number,
  flags: number,
  header: { readonly family: AddressFamily; readonly prefix: number; readonly flags: number; readonly index: number },
  attributes: readonly Attribute[],
): Request => {
  const body = Buffer.alloc(ADDRESS_HEADER + sizeOf(attributes));
  body[0] = FAMILY[header.family];
  body[1] = header.prefix;
  body[2] = header.flags;
  writeI32(body, header.index, 4);
  encode(body, ADDRESS_HEADER, attributes);
  return { type, flags, body };
};

const hostAddress = (type: number, flags: number, index: number, address: string): Request => {
  const family = familyOfAddress(address);
  const value = addressBytes(address);
  const addressFlags = family === 'IPv6' ? IFA_F_NODAD : 0;
  return addressRequest(type, flags, { family, prefix: value.length * 8, flags: addressFlags, index }, [
    raw(IFA_LOCAL, value),
    raw(IFA_ADDRESS, value),
    u32(IFA_FLAGS, addressFlags),
  ]);
};

/** Adds a host address (/32, /128) to a link. EEXIST when the link has it. */
export const newAddress = (index: number, address: string): Request =>
  hostAddress(NEWADDR, FLAG.CREATE | FLAG.EXCL, index, address);

/** Deletes an address of a link. EADDRNOTAVAIL when the link lacks it. */
export const deleteAddress = (index: number, address: string): Request => hostAddress(DELADDR, 0, index, address);

/** Lists the addresses of one family on all links. Throws NetlinkError. */
export const listAddresses = (connection: NetlinkConnection, family: AddressFamily): readonly LinkAddress[] =>
  connection.dump(addressList(family)).flatMap((message) => addressOf(message) ?? []);

/**
 * Lists the same as `listAddresses` and yields to the event loop in between; nothing else may use the connection until
 * it is done. Throws NetlinkError.
 */
export const readAddresses = (connection: NetlinkConnection, family: AddressFamily): Promise<readonly LinkAddress[]> =>
  connection.list(addressList(family), (message) => {
    const found = addressOf(message);
    return found === undefined ? [] : [found];
  });

const addressList = (family: AddressFamily): Request =>
  addressRequest(GETADDR, 0, { family, prefix: 0, flags: 0, index: 0 }, []);

const addressOf = ({ body }: Message): LinkAddress | undefined => {
  const attributes = decode(body.subarray(ADDRESS_HEADER));
  // ADDRESS is the peer's on a point-to-point link
  const value = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if (value === undefined) return undefined;
  return {
    index: readU32(body, 4),
    address: formatAddress(value),
    prefix: body[1] ?? 0,
    scope: SCOPES[body[3] ?? 0] ?? 'global',
  };
};

/** Multicast groups for links and addresses: RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR. */
export const ROUTE_GROUPS: readonly number[] = [1, 5, 9];

/** Change that a notification reports: an address added to or removed from a link, a link added, renamed or removed. */
export type RouteChange =
  | { readonly of: 'address'; readonly index: number; readonly address: string; readonly isGone: boolean }
  | { readonly of: 'link'; readonly index: number; readonly name: string; readonly isGone: boolean };

/** Change in a notification; undefined for other notifications. Addresses of ignored links are not decoded. */
export const routeChangeOf = (message: Message, isIgnored: (index: number) => boolean): RouteChange | undefined => {
  const { type, body } = message;
  if (type === NEWADDR || type === DELADDR) {
    const index = readU32(body, 4);
    const address = isIgnored(index) ? undefined : addressOf(message)?.address;
    return address === undefined ? undefined : { of: 'address', index, address, isGone: type === DELADDR };
  }
  // link messages of other families are about bridge ports, and the link itself stays
  if ((type !== NEWLINK && type !== DELLINK) || body[0] !== AF_UNSPEC) return undefined;
  const { index, name } = linkOf(message);
  return { of: 'link', index, name, isGone: type === DELLINK };
};

/**
 * Dumps the addresses of one family in parts, without those of ignored links. Returns whether the dump was consistent.
 * Nothing else may use the connection until it is done. Throws NetlinkError.
 */
export const visitAddresses = (
  connection: NetlinkConnection,
  family: AddressFamily,
  isIgnored: (index: number) => boolean,
  take: (index: number, address: string) => void,
): Promise<boolean> =>
  connection.visit(addressList(family), (message) => {
    const index = readU32(message.body, 4);
    const address = isIgnored(index) ? undefined : addressOf(message)?.address;
    if (address !== undefined) take(index, address);
  });
