/** The kernel's ends that this mode talks to: IPVS, sets, links. Both IP families share them. */
import { Ipvs } from '../../ipvs-netlink/ipvs.ts';
import { loadModule } from '../../kernel/modules.ts';
import { PROC_SYS, type Sysctls } from '../../kernel/sysctl.ts';
import { Connection } from '../../netlink/connection.ts';
import { ERRNO, NetlinkError } from '../../netlink/error.ts';
import { type SetDefinition, typeRevision } from '../../netlink/ipset.ts';
import { openSocket, PROTOCOL } from '../../netlink/socket.ts';

/** The ends themselves. */
export interface Ends {
  readonly ipvs: Ipvs;
  /** One that nobody else reads by: reading a long list takes it for itself. */
  readonly openReader: () => Ipvs;
  readonly sets: Connection;
  readonly links: Connection;
  readonly sysctls: Sysctls;
}

export interface Handles extends Ends {
  /** The newest revision of a set's type that the kernel has. */
  revisionOf(set: SetDefinition): number;
  close(): void;
}

const MODULE = 'ip_vs';

/** Throws, naming what is missing, when the kernel cannot do IPVS or sets. */
export const openHandles = async (readOnly: boolean): Promise<Handles> => {
  const ipvs = await openIpvs(readOnly);
  const sets = new Connection(openSocket(PROTOCOL.NETFILTER));
  const links = new Connection(openSocket(PROTOCOL.ROUTE));
  return handlesOver({ ipvs, openReader: () => Ipvs.open(), sets, links, sysctls: PROC_SYS });
};

export const handlesOver = (ends: Ends): Handles => {
  const revisions = new Map<string, number>();
  const revisionOf = ({ type, family }: SetDefinition): number => {
    const known = revisions.get(`${type} ${family}`);
    if (known !== undefined) return known;
    const revision = typeRevision(ends.sets, type, family);
    revisions.set(`${type} ${family}`, revision);
    return revision;
  };
  const close = (): void => {
    for (const end of [ends.ipvs, ends.sets, ends.links]) end.close();
  };
  return { ...ends, revisionOf, close };
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
