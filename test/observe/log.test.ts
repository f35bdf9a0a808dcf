/** Where lines go, in processes of their own: stdout and stderr are the process's. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { beforeAll, describe, expect, it } from 'vitest';
import { type LogOptions, levelOf } from '../../src/observe/log.ts';

let program = '';
beforeAll(async () => {
  const bundle = await build({
    stdin: {
      contents: `import { createLog } from './observe/log.ts';
const log = createLog(JSON.parse(process.argv[2]));
for (const level of ['trace', 'debug', 'info', 'warn', 'error']) log[level](level + ' line');`,
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

it("levels are klog's", () => {
  expect([0, 1, 2, 4, 5, 9].map(levelOf)).toEqual(['info', 'info', 'debug', 'debug', 'trace', 'trace']);
});
