/** The kernel's ends that this mode talks to. Both IP families write over one socket: so a watch tells us from others. */
import { release } from 'node:os';
import { ERRNO, NetlinkError } from '../../netlink/error.ts';
import { Nftables, TransactionError } from '../../nftables-json/nftables.ts';
import { TableWatch } from '../../nftables-json/watch.ts';
import { asKernelError, refused } from '../kernel-error.ts';
import { type NftFamily, tableOf } from './names.ts';
import type { Issued } from './write.ts';

export type Watch = Pick<TableWatch, 'hasChanged' | 'close'>;

export interface Ends {
  readonly writer: Nftables;
  /** One that nobody else reads by: reading a long list takes it for itself. */
  readonly openReader: () => Nftables;
  readonly openWatch: (family: NftFamily) => Watch;
  /** Hears of what is not heard. */
  readonly warn?: (message: string) => void;
}

/** Throws NetlinkError. */
export const openEnds = (warn?: (message: string) => void): Ends => {
  const writer = Nftables.open();
  return {
    writer,
    openReader: () => Nftables.open(),
    openWatch: (family) => TableWatch.open(tableOf(family), writer.port),
    ...(warn === undefined ? {} : { warn }),
  };
};

/** In the engine's terms, with the objects that the kernel named. */
export const kernelError = (error: unknown, issued: readonly Issued[] = []): unknown => {
  if (!(error instanceof TransactionError)) return asKernelError(error);
  const suspects = error.commands.flatMap((position) => issued[position]?.id ?? []);
  return refused([{ cause: error, message: error.message, suspects }]);
};

export const isMissing = (error: unknown): boolean => error instanceof NetlinkError && error.errno === ERRNO.ENOENT;

/** What is told of a kernel that refuses a table like ours. */
export const unable = (error: TransactionError): Error =>
  error.errno === ERRNO.EPERM
    ? new Error('mode nftables needs root, or the capability CAP_NET_ADMIN')
    : new Error(
        `mode nftables needs Linux 5.13 or newer with nf_tables; this is ${release()}, and refuses: ${error.message}`,
      );
