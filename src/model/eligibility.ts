/**
 * Whether load balancers should send new traffic to this node: not while it is on its way out (KEP-3836).
 *
 * Apart from node.ts, as it shapes no rule: what changes here must not make anything compile again. Pure.
 */

/** The cluster autoscaler is about to delete the node. */
const DELETION_TAINT = 'ToBeDeletedByClusterAutoscaler';

/** What can be read of a Node object counts; whether it is one at all is somebody else's question. */
export const isEligible = (node: unknown): boolean => {
  const { metadata, spec } = (node ?? {}) as {
    readonly metadata?: { readonly deletionTimestamp?: unknown } | null;
    readonly spec?: { readonly taints?: unknown } | null;
  };
  const taints: readonly unknown[] = Array.isArray(spec?.taints) ? spec.taints : [];
  const isDoomed = taints.some((taint) => (taint as { readonly key?: unknown } | null)?.key === DELETION_TAINT);
  return (metadata?.deletionTimestamp ?? undefined) === undefined && !isDoomed;
};
