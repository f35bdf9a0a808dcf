/** The program's log: one line an event on stderr, as text for people or JSON for machines. Levels as in klog. */
import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';

export interface LogOptions {
  readonly format: 'text' | 'json';
  /** klog's `-v`. */
  readonly verbosity: number;
  /** Only what went wrong: for commands whose output is the point. */
  readonly quiet?: boolean;
}

const DEBUG_FROM = 2;
const TRACE_FROM = 5;
const STDERR = 2;

export const createLog = ({ format, verbosity, quiet = false }: LogOptions): Logger => {
  const level = verbosity >= TRACE_FROM ? 'trace' : verbosity >= DEBUG_FROM ? 'debug' : quiet ? 'warn' : 'info';
  const base = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  // synchronous: the last line before an exit is the one that matters
  if (format === 'json') return pino(base, pino.destination({ fd: STDERR, sync: true }));
  const stream = pretty({
    destination: STDERR,
    sync: true,
    singleLine: true,
    colorize: process.stderr.isTTY === true,
    translateTime: 'UTC:yyyy-mm-dd HH:MM:ss.l',
  });
  return pino(base, stream);
};
