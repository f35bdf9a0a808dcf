/** Errors of kernel and tools become a KernelError here only. */
import { KernelError } from '../dataplane/contract.ts';
import { type ErrnoScope, scopeOf } from '../netlink/errno-scope.ts';
import { NetlinkError } from '../netlink/error.ts';

/** One refusal: the kernel's errno, or the scope that a tool's exit was classified as. */
export interface KernelRefusal {
  readonly cause: { readonly errno: number } | { readonly scope: ErrnoScope };
  readonly message: string;
  /** Ids of the refused objects, where the kernel named them. */
  readonly suspects: readonly string[];
}

/** Refusals that a message quotes. The others are counted. */
const SHOWN = 3;

/**
 * The scope is content if that of any refusal is: objects of those refusals are the suspects, and objects refused for other
 * reasons are tried again. `refusals` holds at least one.
 */
export const refused = (refusals: readonly KernelRefusal[]): KernelError => {
  const ofContent = refusals.filter(({ cause }) => scopeBy(cause) === 'content');
  const shown = refusals.slice(0, SHOWN).map(({ message }) => message);
  const more = refusals.length > SHOWN ? [`and ${refusals.length - SHOWN} more`] : [];
  const suspects = new Set(ofContent.flatMap((refusal) => refusal.suspects));
  return new KernelError(ofContent.length === 0 ? 'environment' : 'content', [...shown, ...more].join('; '), [
    ...suspects,
  ]);
};

const scopeBy = (cause: KernelRefusal['cause']): ErrnoScope => ('scope' in cause ? cause.scope : scopeOf(cause.errno));

/**
 * Converts a netlink error that names no object: of a read, or of a write whose answers were lost. Other errors are
 * returned unchanged.
 */
export const asKernelError = (error: unknown): unknown =>
  error instanceof NetlinkError ? new KernelError('environment', `netlink: ${error.message}`) : error;
