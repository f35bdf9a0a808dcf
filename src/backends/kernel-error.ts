/** What kernel and tools refused, in the engine's terms: the one place where their errors become a KernelError. */
import { KernelError } from '../dataplane/contract.ts';
import { type Scope, scopeOf } from '../netlink/errno-scope.ts';
import { NetlinkError } from '../netlink/error.ts';

/** One refusal: by errno, or as a tool's end was understood. */
export interface Refusal {
  readonly cause: { readonly errno: number } | { readonly scope: Scope };
  readonly message: string;
  /** Ids of the objects that it is about, where the kernel named them. */
  readonly suspects: readonly string[];
}

/** In a message so many refusals are shown and the rest counted. */
const SHOWN = 3;

/**
 * Content where any of the refusals is: the objects of those are suspects, and what was refused for other reasons is tried
 * again with the rest. There is at least one.
 */
export const refused = (refusals: readonly Refusal[]): KernelError => {
  const ofContent = refusals.filter(({ cause }) => scopeBy(cause) === 'content');
  const said = refusals.slice(0, SHOWN).map(({ message }) => message);
  const more = refusals.length > SHOWN ? [`and ${refusals.length - SHOWN} more`] : [];
  const suspects = new Set(ofContent.flatMap((refusal) => refusal.suspects));
  return new KernelError(ofContent.length === 0 ? 'environment' : 'content', [...said, ...more].join('; '), [
    ...suspects,
  ]);
};

const scopeBy = (cause: Refusal['cause']): Scope => ('scope' in cause ? cause.scope : scopeOf(cause.errno));

/**
 * An error that says nothing of single objects: of a read, or of a write whose answers were lost, so that nothing is known.
 * What is no error of the kernel's stays as it is.
 */
export const asKernelError = (error: unknown): unknown =>
  error instanceof NetlinkError ? new KernelError('environment', `netlink: ${error.message}`) : error;
