/** Many outcomes in one: who answered how often, as whom they saw the caller, and what went wrong. Pure. */
import type { ProbeOutcome } from './outcome.ts';

export interface Summary {
  readonly tries: number;
  readonly answers: number;
  /** Answers by server, in the order of their names. */
  readonly servers: Readonly<Record<string, number>>;
  /** The source addresses that servers saw, sorted. */
  readonly clients: readonly string[];
  /** Failures by kind, an unreachable's or error's with its code: `refused`, `timeout`, `unreachable EHOSTUNREACH`. */
  readonly failures: Readonly<Record<string, number>>;
}

const tally = (names: readonly string[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {};
  for (const name of [...names].sort()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};

/** The name under which a failure is counted. */
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

/** One line, such as `pod1 ×13, pod2 ×11 (seen as 10.200.0.13); timeout ×1`. */
export const formatSummary = (summary: Summary): string => {
  const answered = formatCounts(summary.servers).join(', ');
  const seenAs = summary.answers === 0 ? '' : ` (seen as ${summary.clients.join(', ')})`;
  const failed = formatCounts(summary.failures).join(', ');
  return [answered + seenAs, failed].filter((part) => part !== '').join('; ') || 'no tries';
};
