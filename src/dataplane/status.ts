/** Statuses of owners, and reports of syncs: data for servers, logs and metrics. */

import type { ServiceEndpoints } from '../model/topology.ts';

export type OwnerState =
  /** In the kernel as wanted. */
  | 'Done'
  /** Wanted, not yet written. */
  | 'Pending'
  /** An older owner is granted one of the owner's objects. */
  | 'Shadowed'
  /** Refused by the kernel: the last good objects stay, and the owner is tried again with its own back-off. */
  | 'Quarantined';

export interface OwnerStatus {
  readonly owner: string;
  readonly state: OwnerState;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly attempts: number;
  readonly message: string | undefined;
}

/** Numbers of objects that a sync, audit or clean-up changed. */
export interface ChangeCounts {
  readonly added: number;
  readonly replaced: number;
  readonly removed: number;
}

export interface SyncReport {
  /** True when the kernel was read first: at start, and after a failure. */
  readonly full: boolean;
  readonly changes: ChangeCounts;
  readonly batches: number;
  readonly durationMs: number;
  /** Service ports compiled for this sync. */
  readonly services: readonly ServiceEndpoints[];
  /** Owners that were deleted. */
  readonly gone: readonly string[];
  /** Trigger times of the endpoint changes that this sync brought into the kernel, milliseconds since 1970. */
  readonly triggeredAt: readonly number[];
  /** Drift found when the kernel was read after a refusal or a failure. */
  readonly drift: Drift;
}

/** Ids of objects that other programs removed, changed or added. */
export interface Drift {
  readonly missing: readonly string[];
  readonly changed: readonly string[];
  readonly foreign: readonly string[];
}

export const NO_DRIFT: Drift = { missing: [], changed: [], foreign: [] };

export const addDrift = (a: Drift, b: Drift): Drift => ({
  missing: [...a.missing, ...b.missing],
  changed: [...a.changed, ...b.changed],
  foreign: [...a.foreign, ...b.foreign],
});

/** True for a drift of any object. */
export const isDrift = (drift: Drift): boolean =>
  drift.missing.length + drift.changed.length + drift.foreign.length > 0;

export const NO_CHANGES: ChangeCounts = { added: 0, replaced: 0, removed: 0 };

export const countChanges = (changes: readonly { readonly op: 'add' | 'replace' | 'remove' }[]): ChangeCounts => ({
  added: changes.filter(({ op }) => op === 'add').length,
  replaced: changes.filter(({ op }) => op === 'replace').length,
  removed: changes.filter(({ op }) => op === 'remove').length,
});

export const addCounts = (a: ChangeCounts, b: ChangeCounts): ChangeCounts => ({
  added: a.added + b.added,
  replaced: a.replaced + b.replaced,
  removed: a.removed + b.removed,
});
