/** Runs kernel tools (iptables, modprobe …): text in, text out, no policy. */
import type { Readable } from 'node:stream';
import { execa } from 'execa';

export interface ToolResult {
  /** Exit status; undefined when the program did not exit by itself, see `fate`. */
  readonly exitCode: number | undefined;
  /** Why there is no exit status. `not started`: descriptors, memory or processes are short. */
  readonly fate?: 'killed' | 'timed out' | 'not started';
  readonly stderr: string;
}

/** The program is missing or not executable. */
export class ToolMissing extends Error {
  override readonly name = 'ToolMissing';
}

export interface ToolOptions {
  readonly input?: string;
  readonly timeoutMs: number;
  /** Called for each line of stdout, as it arrives. */
  readonly onLine?: (line: string) => void;
}

/** Characters of stderr that are kept: some tools repeat their whole input. */
const MAX_STDERR = 2_000;

/**
 * Runs a program until it exits. Output is handled line by line, so that a large listing does not block the event loop.
 * Throws ToolMissing only: the caller interprets exit statuses.
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
    // messages are matched, so they must not be translated
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
