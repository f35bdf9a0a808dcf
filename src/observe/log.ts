/** Log of the program: one line an event on stderr, as text for people or JSON for machines. Levels as in klog. */
import { isatty } from 'node:tty';
import pino, { type Level, type Logger } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { LogOutputs } from './log-output.ts';

export interface LogOptions {
  readonly format: 'text' | 'json';
  /** klog's `-v`. */
  readonly verbosity: number;
  /** Warnings and errors only, for commands that write to stdout. */
  readonly quiet?: boolean;
  /** Errors go to stderr, all other lines to stdout. */
  readonly split?: boolean;
  readonly outputs?: LogOutputs;
}

const DEBUG_FROM = 2;
const TRACE_FROM = 5;
const STDOUT = 1;
const STDERR = 2;

/** Level for klog's verbosity. */
export const levelOf = (verbosity: number): Level =>
  verbosity >= TRACE_FROM ? 'trace' : verbosity >= DEBUG_FROM ? 'debug' : 'info';

/** Opens a log; its lines go through the process' outputs, which never block. */
export const createLog = (options: LogOptions): Logger => {
  const { format, verbosity, quiet = false, split = false, outputs = new LogOutputs() } = options;
  const shown = levelOf(verbosity);
  const level = quiet && shown === 'info' ? 'warn' : shown;
  const base = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const to = (fd: number) => lines(outputs, fd, format === 'json' ? (line) => line : asText(fd));
  if (!split) return pino(base, to(STDERR));
  const streams = [
    { level: 'trace', stream: to(STDOUT) },
    { level: 'error', stream: to(STDERR) },
  ] as const;
  return pino(base, pino.multistream([...streams], { dedupe: true }));
};

const WARN = 40;

const lines = (outputs: LogOutputs, fd: number, format: (line: string) => string) => {
  const output = outputs.of(fd);
  const notice = (lost: number, error: string): string => {
    const record = { level: WARN, time: new Date().toISOString(), lost, error, msg: 'lines of this log were lost' };
    return format(`${JSON.stringify(record)}\n`);
  };
  return { write: (line: string): void => output.line(format(line), notice) };
};

const asText = (fd: number): ((line: string) => string) =>
  prettyFactory({ singleLine: true, colorize: isatty(fd), translateTime: 'UTC:yyyy-mm-dd HH:MM:ss.l' });
