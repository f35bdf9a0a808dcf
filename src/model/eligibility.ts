/**
 * Eligibility of the node for new traffic from load balancers: not while the node is about to be deleted (KEP-3836).
 *
 * Apart from node.ts, as eligibility shapes no rule: its changes must not compile rules again. Pure.
 */

/** Taint of a node that the cluster autoscaler is about to delete. */
const DELETION_TAINT = 'ToBeDeletedByClusterAutoscaler';

/** True unless the Node object is being deleted or has the taint. Never throws: unreadable fields count as absent. */
export const isEligible = (node: unknown): boolean => {
  const { metadata, spec } = (node ?? {}) as {
    readonly metadata?: { readonly deletionTimestamp?: unknown } | null;
    readonly spec?: { readonly taints?: unknown } | null;
  };
  const taints: readonly unknown[] = Array.isArray(spec?.taints) ? spec.taints : [];
  const isDoomed = taints.some((taint) => (taint as { readonly key?: unknown } | null)?.key === DELETION_TAINT);
  return (metadata?.deletionTimestamp ?? undefined) === undefined && !isDoomed;
};
