/** The kernel's ends that this mode talks to. Both IP families write over one socket: so a watch tells us from others. */
import { release } from 'node:os';
import { KernelError } from '../../dataplane/contract.ts';
import { ERRNO, NetlinkError } from '../../netlink/error.ts';
import { Nftables, TransactionError } from '../../nftables-json/nftables.ts';
import { TableWatch } from '../../nftables-json/watch.ts';
import { type NftFamily, tableOf } from './names.ts';
import type { Issued } from './write.ts';

export type Watch = Pick<TableWatch, 'hasChanged' | 'close'>;

export interface Ends {
  readonly writer: Nftables;
  /** One that nobody else reads by: reading a long list takes it for itself. */
  readonly openReader: () => Nftables;
  readonly openWatch: (family: NftFamily) => Watch;
}

/** Throws NetlinkError. */
export const openEnds = (): Ends => {
  const writer = Nftables.open();
  return {
    writer,
    openReader: () => Nftables.open(),
    openWatch: (family) => TableWatch.open(tableOf(family), writer.port),
  };
};

/** The ruleset changed while the transaction was put together. Node.js has no name for it. */
const ERESTART = 85;

/** Nothing could have been written just now, whatever it was. */
const ENVIRONMENT = new Set<number>([
  ERRNO.EPERM,
  ERRNO.EACCES,
  ERRNO.ENOBUFS,
  ERRNO.ENOMEM,
  ERRNO.EAGAIN,
  ERRNO.EINTR,
  ERRNO.ETIMEDOUT,
  ERESTART,
]);

/** In the engine's terms, with the objects that the kernel named. */
export const kernelError = (error: unknown, issued: readonly Issued[] = []): unknown => {
  if (error instanceof TransactionError) {
    const suspects = [...new Set(error.commands.flatMap((position) => issued[position]?.id ?? []))];
    return new KernelError(ENVIRONMENT.has(error.errno) ? 'environment' : 'content', error.message, suspects);
  }
  return error instanceof NetlinkError ? new KernelError('environment', `netlink: ${error.message}`) : error;
};

/** What is told of a kernel that refuses a table like ours. */
export const unable = (error: TransactionError): Error =>
  error.errno === ERRNO.EPERM
    ? new Error('mode nftables needs root, or the capability CAP_NET_ADMIN')
    : new Error(
        `mode nftables needs Linux 5.13 or newer with nf_tables; this is ${release()}, and refuses: ${error.message}`,
      );
