/**
 * Scope of a failure of the iptables tools: content or environment. Decided here and nowhere else.
 *
 * `content`: the tool or the kernel refuses the input, so a smaller input may succeed. `environment`: no input could
 * have been written at this moment. Exit statuses do not tell these apart: legacy tools exit with 2 for an unknown rule
 * and for a table that may not be opened, and nf_tables tools exit with 4 for every error of the kernel.
 */
import type { ToolResult } from './host.ts';

export type FailureScope = 'environment' | 'content';

interface FailureRow {
  readonly reason: string;
  readonly scope: FailureScope;
  readonly fits: (result: ToolResult) => boolean;
}

const stderrMatches =
  (words: RegExp) =>
  ({ stderr }: ToolResult): boolean =>
    words.test(stderr);

const hasFate =
  (fate: ToolResult['fate']) =>
  (result: ToolResult): boolean =>
    result.fate === fate && result.exitCode === undefined;

/**
 * Exit statuses from here on are a shell's, of a wrapper around the tool: it cannot be executed, or was ended by a
 * signal.
 */
const FIRST_SHELL_STATUS = 126;
/** Exit statuses for wrong or refused input; nf_tables tools name the line, legacy ones give no reason. */
const INPUT_STATUSES: readonly number[] = [1, 2];
const STATUS_RESOURCE = 4;
/** Texts of strerror(3) for short resources, interrupted calls and missing permission. */
const TRANSIENT_ERRORS =
  '(?:Cannot allocate memory|No buffer space available|Too many open files|Resource temporarily unavailable|' +
  'Interrupted system call|Connection timed out|No space left on device|Operation not permitted|Permission denied)';

/** Failures in order of precedence: the first row that fits counts. */
export const ROWS = [
  { reason: 'missing', scope: 'environment', fits: () => false },
  { reason: 'torn', scope: 'environment', fits: () => false },
  { reason: 'incompatible', scope: 'environment', fits: () => false },
  { reason: 'not started', scope: 'environment', fits: hasFate('not started') },
  { reason: 'timed out', scope: 'environment', fits: hasFate('timed out') },
  { reason: 'killed', scope: 'environment', fits: hasFate('killed') },
  { reason: 'killed in a shell', scope: 'environment', fits: ({ exitCode = 0 }) => exitCode >= FIRST_SHELL_STATUS },
  { reason: 'locked', scope: 'environment', fits: stderrMatches(/holding the xtables lock/) },
  { reason: 'no lock file', scope: 'environment', fits: stderrMatches(/can't open lock file/) },
  {
    reason: 'no table',
    scope: 'environment',
    // the message is about a table, which no Service can name
    fits: stderrMatches(
      /(?:unable to|can't|cannot|failed to) initiali[sz]e|do you need to insmod|Table does not exist/i,
    ),
  },
  { reason: 'no ruleset', scope: 'environment', fits: stderrMatches(/Could not fetch rule set generation id/) },
  { reason: 'not root', scope: 'environment', fits: stderrMatches(/you must be root/) },
  {
    reason: 'no extension just now',
    scope: 'environment',
    fits: stderrMatches(
      new RegExp(`Couldn't load (?:match|target) .*: ?${TRANSIENT_ERRORS}|Can't open socket to ipset`),
    ),
  },
  {
    reason: 'short',
    scope: 'environment',
    fits: stderrMatches(new RegExp(`^line \\d+: \\w+ failed \\(${TRANSIENT_ERRORS}`, 'm')),
  },
  { reason: 'refused', scope: 'content', fits: stderrMatches(/^line \d+: \w+ failed \(/m) },
  { reason: 'resource', scope: 'environment', fits: ({ exitCode }) => exitCode === STATUS_RESOURCE },
  { reason: 'input', scope: 'content', fits: ({ exitCode = 0 }) => INPUT_STATUSES.includes(exitCode) },
  { reason: 'unknown', scope: 'environment', fits: () => true },
] as const satisfies readonly FailureRow[];

export type Reason = (typeof ROWS)[number]['reason'];

export interface IptablesFailure {
  readonly reason: Reason;
  readonly scope: FailureScope;
  readonly message: string;
  /** Line of the input that was refused, from 1; undefined when the tool names none, or the input is not the cause. */
  readonly line?: number;
}

/** Failure with a given reason, for a missing program and for output that contradicts the exit status. */
export const failureBy = (reason: Reason, message: string): IptablesFailure => ({
  reason,
  scope: ROWS.find((row) => row.reason === reason)?.scope ?? 'environment',
  message,
});

/** Failure of a tool's result, which is not a success. */
export const failureOf = (file: string, result: ToolResult): IptablesFailure => {
  const { exitCode, fate, stderr } = result;
  const { reason } = ROWS.find((row) => row.fits(result)) ?? { reason: 'unknown' as const };
  const status = exitCode === undefined ? (fate ?? 'ended') : `exit status ${exitCode}`;
  const failure = failureBy(reason, `${file}: ${status}: ${stderr}`);
  const line = failure.scope === 'content' ? /line:? (\d+)/i.exec(stderr)?.[1] : undefined;
  return line === undefined ? failure : { ...failure, line: Number(line) };
};
