/**
 * What a failure of the iptables tools lies in, decided here and nowhere else.
 *
 * `content`: the tool or the kernel does not like what it was given, so less of it may be taken. `environment`: nothing could
 * have been written just now, whatever it was. An exit status does not tell these apart: the legacy tools end with 2 both for
 * a rule they do not know and for a table they may not open, and those of nf_tables with 4 for all that the kernel says.
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

/** From here on a status is a shell's word, of a wrapper around the tool: it cannot be run, or a signal has ended it. */
const FIRST_SHELL_STATUS = 126;
/** The tool's input is wrong, or the kernel refused it: of nf_tables with the line, of x_tables without a reason. */
const INPUT_STATUSES: readonly number[] = [1, 2];
const STATUS_RESOURCE = 4;
/** strerror(3) where the kernel is short of something, was interrupted, or lets us write nothing at all. */
const TRANSIENT_ERRORS =
  '(?:Cannot allocate memory|No buffer space available|Too many open files|Resource temporarily unavailable|' +
  'Interrupted system call|Connection timed out|No space left on device|Operation not permitted|Permission denied)';

/** The first row that fits is what it was. */
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
    // a table's name is never a Service's
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
  /** Which line of the input was refused, from 1; undefined where the tool names none, or the input is not to blame. */
  readonly line?: number;
}

/** A failure by name: where no program ended badly, but was missing, or said less than the truth. */
export const failureBy = (reason: Reason, message: string): IptablesFailure => ({
  reason,
  scope: ROWS.find((row) => row.reason === reason)?.scope ?? 'environment',
  message,
});

/** What the tool's end was. `result` is not a success. */
export const failureOf = (file: string, result: ToolResult): IptablesFailure => {
  const { exitCode, fate, stderr } = result;
  const { reason } = ROWS.find((row) => row.fits(result)) ?? { reason: 'unknown' as const };
  const status = exitCode === undefined ? (fate ?? 'ended') : `exit status ${exitCode}`;
  const failure = failureBy(reason, `${file}: ${status}: ${stderr}`);
  const line = failure.scope === 'content' ? /line:? (\d+)/i.exec(stderr)?.[1] : undefined;
  return line === undefined ? failure : { ...failure, line: Number(line) };
};
