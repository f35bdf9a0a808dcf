/** Page /status: the status of each owner of kernel objects by family. JSON for machines, a table for people. */
import type { ChangeCounts, OwnerState, OwnerStatus } from '../dataplane/status.ts';
import type { IPFamily } from '../model/address.ts';
import type { Missing } from '../model/missing.ts';
import { type Answer, type HttpRequest, json, text, wantsText } from './http.ts';

export interface LastSync {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly full: boolean;
  readonly durationMs: number;
  readonly changes: ChangeCounts;
}

export interface FamilyStatus {
  readonly family: IPFamily;
  readonly healthy: boolean;
  readonly lastSync: LastSync | undefined;
  /** Error of the last sync or audit that failed; undefined after a sync that did not. */
  readonly lastError: string | undefined;
  /** Drift repaired since the start. */
  readonly drift: { readonly missing: number; readonly changed: number; readonly foreign: number };
  readonly owners: readonly OwnerStatus[];
}

export interface Status {
  readonly version: string;
  readonly mode: string;
  readonly node: string;
  /** Reason why nothing is written yet; undefined once it may be. */
  readonly waitingFor: string | undefined;
  /** Optional input that is missing. */
  readonly missing: readonly Missing[];
  readonly families: readonly FamilyStatus[];
}

/** Response for /status: with `?state=Quarantined` those owners only, as text or JSON (wantsText). */
export const statusAnswer = (status: Status, { query, accept }: Pick<HttpRequest, 'query' | 'accept'>): Answer => {
  const state = query.get('state');
  const shown = state === null ? status : onlyIn(status, state);
  return wantsText({ query, accept }) ? text(200, asText(shown)) : json(200, asJson(shown));
};

const onlyIn = (status: Status, state: string): Status => ({
  ...status,
  families: status.families.map((one) => ({ ...one, owners: one.owners.filter((owner) => owner.state === state) })),
});

/** ISO 8601 of milliseconds since 1970; undefined for 0 (never). */
export const time = (at: number): string | undefined => (at === 0 ? undefined : new Date(at).toISOString());

const asJson = ({ families, ...about }: Status): unknown => ({
  ...about,
  families: Object.fromEntries(
    families.map(({ family, lastSync, owners, ...rest }) => [
      family,
      {
        ...rest,
        lastSync: lastSync === undefined ? undefined : { ...lastSync, at: time(lastSync.at) },
        states: countStates(owners),
        owners: owners.map((owner) => ({ ...owner, since: time(owner.since) })),
      },
    ]),
  ),
});

const countStates = (owners: readonly OwnerStatus[]): Partial<Record<OwnerState, number>> => {
  const counts: Partial<Record<OwnerState, number>> = {};
  for (const { state } of owners) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
};

const asText = ({ version, mode, node, waitingFor, missing, families }: Status): string =>
  [
    `pointsman ${version}, mode ${mode}, node ${node}`,
    ...(waitingFor === undefined ? [] : [`nothing is written yet: waiting for ${waitingFor}`]),
    ...missing.map(({ what, why }) => `missing: ${what}: ${why}`),
    ...families.flatMap((family) => ['', ...familyLines(family)]),
    '',
  ].join('\n');

const familyLines = ({ family, healthy, lastSync, lastError, drift, owners }: FamilyStatus): readonly string[] => {
  const states = Object.entries(countStates(owners)).map(([state, count]) => `${count} ${state}`);
  return [
    `${family}: ${healthy ? 'healthy' : 'NOT healthy'}, owners: ${states.join(', ') || 'none'}`,
    `  last sync: ${lastSync === undefined ? 'none yet' : lastSyncText(lastSync)}`,
    ...(lastError === undefined ? [] : [`  failing: ${lastError}`]),
    `  drift repaired: ${drift.missing} missing, ${drift.changed} changed, ${drift.foreign} foreign`,
    ...table([
      ['OWNER', 'STATE', 'SINCE', 'ATTEMPTS', 'MESSAGE'],
      ...owners.map((one) => [one.owner, one.state, time(one.since) ?? '-', String(one.attempts), one.message ?? '']),
    ]).map((line) => `  ${line}`),
  ];
};

const lastSyncText = ({ at, full, durationMs, changes }: LastSync): string =>
  `${time(at)}, ${full ? 'full' : 'partial'}, ${durationMs.toFixed(1)} ms, ` +
  `${changes.added} added, ${changes.replaced} replaced, ${changes.removed} removed`;

const table = (rows: readonly (readonly string[])[]): readonly string[] => {
  const widths = (rows[0] ?? []).map((_, i) => rows.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), 0));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
};
