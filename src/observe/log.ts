/** The program's log: one line an event on stderr, as text for people or JSON for machines. Levels as in klog. */
import pino, { type Level, type Logger } from 'pino';
import pretty from 'pino-pretty';

export interface LogOptions {
  readonly format: 'text' | 'json';
  /** klog's `-v`. */
  readonly verbosity: number;
  /** Only what went wrong: for commands whose output is the point. */
  readonly quiet?: boolean;
  /** Errors to stderr, the rest to stdout. */
  readonly split?: boolean;
}

const DEBUG_FROM = 2;
const TRACE_FROM = 5;
const STDOUT = 1;
const STDERR = 2;

/** What of klog's levels is shown. */
export const levelOf = (verbosity: number): Level =>
  verbosity >= TRACE_FROM ? 'trace' : verbosity >= DEBUG_FROM ? 'debug' : 'info';

export const createLog = ({ format, verbosity, quiet = false, split = false }: LogOptions): Logger => {
  const shown = levelOf(verbosity);
  const level = quiet && shown === 'info' ? 'warn' : shown;
  const base = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const to = format === 'json' ? jsonTo : textTo;
  if (!split) return pino(base, to(STDERR));
  const streams = [
    { level: 'trace', stream: to(STDOUT) },
    { level: 'error', stream: to(STDERR) },
  ] as const;
  return pino(base, pino.multistream([...streams], { dedupe: true }));
};

// synchronous: the last line before an exit is the one that matters
const jsonTo = (fd: number) => pino.destination({ fd, sync: true });

const textTo = (fd: number) =>
  pretty({
    destination: fd,
    sync: true,
    singleLine: true,
    colorize: (fd === STDERR ? process.stderr : process.stdout).isTTY === true,
    translateTime: 'UTC:yyyy-mm-dd HH:MM:ss.l',
  });
