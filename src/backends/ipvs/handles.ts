/** Netlink sockets of this mode: IPVS, ipset, rtnetlink. Both IP families share them. */
import { Ipvs } from '../../ipvs-netlink/ipvs.ts';
import { loadModule } from '../../kernel/modules.ts';
import { PROC_SYS, type Sysctls } from '../../kernel/sysctl.ts';
import type { IPFamily } from '../../model/address.ts';
import { NetlinkConnection } from '../../netlink/connection.ts';
import { ERRNO, NetlinkError } from '../../netlink/error.ts';
import { type SetDefinition, typeRevision } from '../../netlink/ipset.ts';
import { getLink, readAddresses } from '../../netlink/route.ts';
import { openSocket, PROTOCOL } from '../../netlink/socket.ts';
import { DEVICE } from './names.ts';

/** Sockets as opened. */
export interface RawHandles {
  readonly ipvs: Ipvs;
  readonly sets: NetlinkConnection;
  readonly links: NetlinkConnection;
  /** Opens a socket for one reader: a long list occupies its socket. */
  readonly open: {
    readonly ipvs: () => Ipvs;
    readonly sets: () => NetlinkConnection;
    readonly links: () => NetlinkConnection;
  };
  readonly sysctls: Sysctls;
}

export interface Handles extends RawHandles {
  /** Newest revision of a set's type in the kernel. */
  revisionOf(set: SetDefinition): number;
  close(): void;
}

const MODULE = 'ip_vs';

/** Opens the sockets. Throws, naming what is missing, when the kernel has no IPVS or no ipset. */
export const openHandles = async (readOnly: boolean): Promise<Handles> => {
  const ipvs = await openIpvs(readOnly);
  const open = {
    ipvs: () => Ipvs.open(),
    sets: () => new NetlinkConnection(openSocket(PROTOCOL.NETFILTER)),
    links: () => new NetlinkConnection(openSocket(PROTOCOL.ROUTE)),
  };
  return handlesOver({ ipvs, sets: open.sets(), links: open.links(), open, sysctls: PROC_SYS });
};

export const handlesOver = (raw: RawHandles): Handles => {
  const revisions = new Map<string, number>();
  const revisionOf = ({ type, family }: SetDefinition): number => {
    const known = revisions.get(`${type} ${family}`);
    if (known !== undefined) return known;
    const revision = typeRevision(raw.sets, type, family);
    revisions.set(`${type} ${family}`, revision);
    return revision;
  };
  const close = (): void => {
    for (const end of [raw.ipvs, raw.sets, raw.links]) end.close();
  };
  return { ...raw, revisionOf, close };
};

/** Opens a socket for one use, and closes it. */
export const using = async <E extends { close(): void }, T>(open: () => E, use: (end: E) => Promise<T>): Promise<T> => {
  const end = open();
  try {
    return await use(end);
  } finally {
    end.close();
  }
};

/** Whether our link has addresses of a family, also added by others. Throws NetlinkError. */
export const hasAddresses = async ({ links, open }: RawHandles, family: IPFamily): Promise<boolean> => {
  const index = getLink(links, DEVICE)?.index;
  const addresses = index === undefined ? [] : await using(open.links, (end) => readAddresses(end, family));
  return addresses.some((one) => one.index === index && one.scope === 'global');
};

const openIpvs = async (readOnly: boolean): Promise<Ipvs> => {
  try {
    return Ipvs.open();
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== ERRNO.ENOENT) throw error;
  }
  if (readOnly) throw new Error(`the kernel module ${MODULE} is not loaded: nothing of mode ipvs is here`);
  const said = (await loadModule(MODULE)) ?? 'modprobe succeeded, and the kernel still has no IPVS';
  try {
    return Ipvs.open();
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== ERRNO.ENOENT) throw error;
    throw new Error(`mode ipvs needs the kernel module ${MODULE}, which is not loaded and cannot be loaded: ${said}`);
  }
};
