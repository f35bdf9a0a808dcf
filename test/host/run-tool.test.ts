import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runTool, ToolMissing } from '../../src/kernel/host.ts';
import { makeScripts, print, type Scripts } from './scripts.ts';

let scripts: Scripts;
beforeAll(async () => {
  scripts = await makeScripts();
});
afterAll(() => scripts.remove());

const LONG_MS = 20_000;

const linesOf = async (tool: string, args: readonly string[] = []): Promise<readonly string[]> => {
  const lines: string[] = [];
  await runTool(tool, args, { timeoutMs: LONG_MS, onLine: (line) => lines.push(line) });
  return lines;
};

describe('a program', () => {
  it('gets its arguments and input, and gives its lines, the last one too', async () => {
    const tool = await scripts.add('echoes', 'echo "$# $2"', 'cat', 'printf end');
    const lines: string[] = [];
    const result = await runTool(tool, ['-w', 'two words'], {
      input: 'in 1\n\nin 2\n',
      timeoutMs: LONG_MS,
      onLine: (line) => lines.push(line),
    });
    expect(lines).toEqual(['2 two words', 'in 1', '', 'in 2', 'end']);
    expect(result).toEqual({ exitCode: 0, stderr: '' });
  });

  it('may say a lot that nobody listens to', async () => {
    const tool = await scripts.add('talks', 'seq 1 200000');
    expect(await runTool(tool, [], { timeoutMs: LONG_MS })).toEqual({ exitCode: 0, stderr: '' });
    expect(await linesOf(tool)).toHaveLength(200_000);
  });

  it('may write a letter in two pieces', async () => {
    const tool = await scripts.add('stutters', "printf 'Z\\303'", 'sleep 0.1', "printf '\\274rich\\n'");
    expect(await linesOf(tool)).toEqual(['Zürich']);
  });

  it('is heard out when it fails: what it says, shortened, and its exit status', async () => {
    const tool = await scripts.add('fails', 'echo " out of luck" >&2', 'exit 3');
    expect(await runTool(tool, [], { timeoutMs: LONG_MS })).toEqual({ exitCode: 3, stderr: 'out of luck' });
    const chatty = await scripts.add('complains', 'seq 1 5000 >&2', 'exit 1');
    const { stderr } = await runTool(chatty, [], { timeoutMs: LONG_MS });
    expect(stderr).toMatch(/^1\n2\n/);
    expect(stderr.length).toBeLessThanOrEqual(2_000);
  });

  it('may end before it has read its input', async () => {
    const tool = await scripts.add('impatient', 'exit 2');
    expect(await runTool(tool, [], { input: 'x\n'.repeat(500_000), timeoutMs: LONG_MS })).toMatchObject({
      exitCode: 2,
    });
  });

  it('speaks untranslated', async () => {
    const tool = await scripts.add('tongue', 'echo "$LC_ALL"');
    expect(await linesOf(tool)).toEqual(['C']);
  });

  it('is ended when it does not answer', async () => {
    const tool = await scripts.add('sleeps', print('waiting'), 'exec sleep 60');
    const result = await runTool(tool, [], { timeoutMs: 300 });
    expect(result.exitCode).toBeUndefined();
    expect(result.stderr).toContain('no answer within 0.3 s');
  });

  it('that is not there, or may not be run, is called missing', async () => {
    const file = scripts.path('not-a-program');
    await writeFile(file, 'text', { mode: 0o644 });
    for (const tool of [scripts.path('absent'), file, 'pointsman-no-such-tool']) {
      const run = runTool(tool, [], { timeoutMs: LONG_MS, onLine: () => undefined });
      await expect(run).rejects.toBeInstanceOf(ToolMissing);
      await expect(run).rejects.toThrow(tool);
    }
  });
});
