/** Where lines go, in processes of their own: stdout and stderr are the process's. */
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { type LogOptions, levelOf } from '../../src/observe/log.ts';
import { LogOutput } from '../../src/observe/log-output.ts';

let program = '';
beforeAll(async () => {
  const bundle = await build({
    stdin: {
      contents: `import { createLog } from './observe/log.ts';
const log = createLog(JSON.parse(process.argv[2]));
for (let i = 0; i < Number(process.argv[3] ?? 1); i += 1) for (const level of ['trace', 'debug', 'info', 'warn', 'error']) log[level](level + ' line');`,
      resolveDir: fileURLToPath(new URL('../../src', import.meta.url)),
      loader: 'js',
    },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    write: false,
  });
  program = bundle.outputFiles[0]?.text ?? '';
});

const words = (text: string): readonly string[] => [...text.matchAll(/(\w+) line/g)].map(([, word = '']) => word);

const written = (options: LogOptions): readonly [readonly string[], readonly string[]] => {
  const { stdout, stderr } = spawnSync(process.execPath, ['-', JSON.stringify(options)], {
    input: program,
    encoding: 'utf8',
  });
  return [words(stdout), words(stderr)];
};

describe.each(['text', 'json'] as const)('lines as %s', (format) => {
  it('go to stderr', () => {
    expect(written({ format, verbosity: 0 })).toEqual([[], ['info', 'warn', 'error']]);
    expect(written({ format, verbosity: 2, quiet: true })).toEqual([[], ['debug', 'info', 'warn', 'error']]);
    expect(written({ format, verbosity: 0, quiet: true })).toEqual([[], ['warn', 'error']]);
  });

  it('split, only errors do', () => {
    expect(written({ format, verbosity: 2, split: true })).toEqual([['debug', 'info', 'warn'], ['error']]);
    expect(written({ format, verbosity: 5, split: true })).toEqual([['trace', 'debug', 'info', 'warn'], ['error']]);
  });
});

describe.each(['text', 'json'] as const)('a program whose lines as %s', (format) => {
  /** Ends with 0 if it came to its end; `shell` is where its stderr leads. */
  const run = (shell: string, times: number) => {
    const script = `exec node - "$1" ${times} ${shell}`;
    const { status, stdout, signal } = spawnSync(
      'bash',
      ['-c', script, '-', JSON.stringify({ format, verbosity: 0 })],
      {
        input: `${program}\nprocess.stdout.write('came to its end');`,
        encoding: 'utf8',
        env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` },
        timeout: 20_000,
      },
    );
    return { status, stdout, signal };
  };
  const ITS_END = { status: 0, signal: null, stdout: 'came to its end' };

  it.each([
    ['find the disk full', '2>/dev/full'],
    ['lead to a pipe that is closed', '2> >(exec 0<&-; sleep 0.1)'],
    ['are closed', '2>&-'],
  ])('%s goes on', (_, shell) => {
    expect(run(shell, 3)).toEqual(ITS_END);
  });

  it('are read by nobody goes on, and does not wait', () => {
    const startedAt = performance.now();
    expect(run('2> >(exec sleep 15 >&- 2>&-)', 2_000)).toEqual(ITS_END);
    expect(performance.now() - startedAt).toBeLessThan(14_000);
  });
});

describe('an output', () => {
  const notice = (lost: number, error: string) => `${lost} lost: ${error}\n`;
  const bench = () => {
    const state = { error: undefined as string | undefined, atOnce: 1_000_000, text: '' };
    const output = new LogOutput((bytes) => {
      if (state.error !== undefined) throw Object.assign(new Error(state.error), { code: state.error });
      const part = bytes.subarray(0, state.atOnce).toString();
      state.text += part;
      return part.length;
    });
    return { state, output, line: (text: string) => output.line(`${text}\n`, notice) };
  };

  it('tells of lost lines with the first that is written', () => {
    const { state, output, line } = bench();
    line('a');
    state.error = 'ENOSPC';
    for (const text of ['b', 'c', 'd']) line(text);
    expect(output.lost).toBe(3);
    state.error = undefined;
    line('e');
    line('f');
    expect(state.text).toBe('a\n3 lost: ENOSPC\ne\nf\n');
  });

  it('keeps what nobody reads for a while, so much and no more', async () => {
    const { state, output, line } = bench();
    state.error = 'EAGAIN';
    const text = 'x'.repeat(999);
    for (let i = 0; i < 300; i += 1) line(text);
    expect(output.lost).toBe(300 - 262);
    state.error = undefined;
    await vi.waitFor(() => expect(state.text.length).toBe(262_000));
    line('later');
    expect(state.text.slice(262_000)).toBe('38 lost: nobody reads it\nlater\n');
  });

  it('tears no line that is written in parts', () => {
    const { state, line } = bench();
    state.atOnce = 3;
    for (const text of ['first', 'second']) line(text);
    expect(state.text).toBe('first\nsecond\n');
  });
});

it("levels are klog's", () => {
  expect([0, 1, 2, 4, 5, 9].map(levelOf)).toEqual(['info', 'info', 'debug', 'debug', 'trace', 'trace']);
});
