/** Netlink sockets of this mode. Both IP families write over one socket, by which a watch tells our writes from others'. */
import { release } from 'node:os';
import { ERRNO, NetlinkError } from '../../netlink/error.ts';
import { Nftables, TransactionError } from '../../nftables-json/nftables.ts';
import { TableWatch } from '../../nftables-json/watch.ts';
import { asKernelError, refused } from '../kernel-error.ts';
import { type NftFamily, tableOf } from './names.ts';
import type { IssuedCommand } from './write.ts';

export type ChangeWatch = Pick<TableWatch, 'hasChanged' | 'close'>;

export interface KernelSockets {
  readonly writer: Nftables;
  /** Opens a socket for one reader: a long list occupies its socket. */
  readonly openReader: () => Nftables;
  readonly openWatch: (family: NftFamily) => ChangeWatch;
  /** Called when writes of others cannot be watched. */
  readonly warn?: (message: string) => void;
}

/** Opens the sockets. Throws NetlinkError. */
export const openKernelSockets = (warn?: (message: string) => void): KernelSockets => {
  const writer = Nftables.open();
  return {
    writer,
    openReader: () => Nftables.open(),
    openWatch: (family) => TableWatch.open(tableOf(family), writer.port),
    ...(warn === undefined ? {} : { warn }),
  };
};

/** Converts an error to a KernelError, with the objects that the kernel named. */
export const kernelError = (error: unknown, issued: readonly IssuedCommand[] = []): unknown => {
  if (!(error instanceof TransactionError)) return asKernelError(error);
  const suspects = error.commands.flatMap((position) => issued[position]?.id ?? []);
  return refused([{ cause: error, message: error.message, suspects }]);
};

export const isMissing = (error: unknown): boolean => error instanceof NetlinkError && error.errno === ERRNO.ENOENT;

/** Error of a probe that the kernel refused. */
export const unable = (error: TransactionError): Error =>
  error.errno === ERRNO.EPERM
    ? new Error('mode nftables needs root, or the capability CAP_NET_ADMIN')
    : new Error(
        `mode nftables needs Linux 5.13 or newer with nf_tables; this is ${release()}, and refuses: ${error.message}`,
      );
