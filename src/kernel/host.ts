/** Running the programs that talk to the kernel: text in, text out, no policy. */
import type { Readable } from 'node:stream';
import { execa } from 'execa';

export interface ToolResult {
  /** Undefined when the program did not come to its own end: `fate` says why. */
  readonly exitCode: number | undefined;
  /** `not started`: the machine could not start it just now (no descriptors, no memory, no room for processes). */
  readonly fate?: 'killed' | 'timed out' | 'not started';
  readonly stderr: string;
}

/** The program could not be started at all: it is missing or may not be run. */
export class ToolMissing extends Error {
  override readonly name = 'ToolMissing';
}

export interface ToolOptions {
  readonly input?: string;
  readonly timeoutMs: number;
  /** Called for each line that the program prints on stdout, as it comes. */
  readonly onLine?: (line: string) => void;
}

/** A tool's complaint is cut to so many characters: some repeat their whole input. */
const MAX_STDERR = 2_000;

/**
 * Runs a program to its end. Long output is handled in pieces, so that reading a large table does not hold up events.
 * Nothing but a missing program throws: the caller decides what an exit status means.
 */
export const runTool = async (
  file: string,
  args: readonly string[],
  { input, timeoutMs, onLine }: ToolOptions,
): Promise<ToolResult> => {
  const child = execa(file, [...args], {
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    reject: false,
    timeout: timeoutMs,
    buffer: { stdout: false, stderr: true },
    // messages are matched and shown: never translated
    env: { LC_ALL: 'C' },
  });
  if (onLine === undefined) child.stdout?.resume();
  else if (child.stdout !== null) await eachLine(child.stdout, onLine);
  const result = await child;
  const { code, exitCode, signal, timedOut, shortMessage } = result;
  if (code === 'ENOENT' || code === 'EACCES') throw new ToolMissing(`${file}: ${shortMessage}`);
  const stderr = result.stderr ?? '';
  if (timedOut) return ended('timed out', `no answer within ${timeoutMs / 1000} s; ${stderr}`);
  if (exitCode !== undefined) return { exitCode, stderr: shortened(stderr) };
  return signal === undefined
    ? ended('not started', `${shortMessage} ${stderr}`)
    : ended('killed', `${signal} ${stderr}`);
};

const ended = (fate: ToolResult['fate'] & string, said: string): ToolResult => ({
  exitCode: undefined,
  fate,
  stderr: shortened(said),
});

const shortened = (said: string): string => said.slice(0, MAX_STDERR).trim();

const eachLine = async (stream: Readable, onLine: (line: string) => void): Promise<void> => {
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  }
  if (rest !== '') onLine(rest);
};
