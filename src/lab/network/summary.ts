/** Summary of outcomes: answers by server, source addresses, failures. Pure. */
import type { ProbeOutcome } from './outcome.ts';

export interface Summary {
  readonly tries: number;
  readonly answers: number;
  /** Answers by server, sorted by name. */
  readonly servers: Readonly<Record<string, number>>;
  /** Source addresses that servers saw, sorted. */
  readonly clients: readonly string[];
  /** Failures by kind, with the code of `unreachable` and `error`: `refused`, `timeout`, `unreachable EHOSTUNREACH`. */
  readonly failures: Readonly<Record<string, number>>;
}

const tally = (names: readonly string[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const name of [...names].sort()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};

/** Name of a failure in counts. */
export const failureName = (outcome: Exclude<ProbeOutcome, { kind: 'answer' }>): string =>
  'code' in outcome ? `${outcome.kind} ${outcome.code}` : outcome.kind;

export const summarize = (outcomes: readonly ProbeOutcome[]): Summary => {
  const answers = outcomes.filter((outcome) => outcome.kind === 'answer');
  const failures = outcomes.filter((outcome) => outcome.kind !== 'answer');
  return {
    tries: outcomes.length,
    answers: answers.length,
    servers: tally(answers.map(({ server }) => server)),
    clients: [...new Set(answers.map(({ client }) => client.address))].sort(),
    failures: tally(failures.map(failureName)),
  };
};

const formatCounts = (counts: Readonly<Record<string, number>>): readonly string[] =>
  Object.entries(counts).map(([name, count]) => `${name} ×${count}`);

/** Text in one line, such as `pod1 ×13, pod2 ×11 (seen as 10.200.0.13); timeout ×1`. */
export const formatSummary = (summary: Summary): string => {
  const answered = formatCounts(summary.servers).join(', ');
  const seenAs = summary.answers === 0 ? '' : ` (seen as ${summary.clients.join(', ')})`;
  const failed = formatCounts(summary.failures).join(', ');
  return [answered + seenAs, failed].filter((part) => part !== '').join('; ') || 'no tries';
};
