/** What others import: each export of the package is built, has its types, and works alone. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build, transform } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const { exports } = JSON.parse(read('package.json')) as {
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
};
const { files } = JSON.parse(read('tsconfig.types.json')) as { readonly files: readonly string[] };

const EXPORTS = Object.entries(exports).map(([name, { types, default: code }]) => ({
  name: name.replace('.', 'pointsman'),
  types,
  code,
  source: types.replace('./dist/types/', 'src/').replace('.d.ts', '.ts'),
}));

/** What a reader of the README writes. */
const CONSUMER = `
import { Ipvs, PLAIN } from 'pointsman/ipvs-netlink';
import { Nftables, TransactionError } from 'pointsman/nftables-json';
import { concat, goto, match, payload } from 'pointsman/nftables-json/construct';
import type { Command } from 'pointsman/nftables-json/schema';
import { formatCommand } from 'pointsman/nftables-json/text';

const command: Command = {
  add: {
    rule: {
      family: 'ip',
      table: 't',
      chain: 'c',
      expr: [match(payload('ip', 'daddr'), '==', '10.0.0.1'), goto('x')],
    },
  },
};
const known: readonly unknown[] = [Ipvs.open, PLAIN, Nftables.open, TransactionError, concat];
if (known.includes(undefined)) throw new Error('an export is missing');
process.stdout.write(formatCommand(command));
`;

describe('the package', () => {
  /** A package of the exports alone, built and typed as .ci/build.mjs and tsconfig.types.json do. */
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'pointsman-package-'));
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'pointsman', type: 'module', exports }));
    writeFileSync(join(folder, 'consumer.ts'), CONSUMER);
    await build({
      absWorkingDir: root,
      entryPoints: EXPORTS.map(({ source, code }) => ({
        in: source,
        out: code.replace('./dist/', '').replace('.js', ''),
      })),
      outdir: join(folder, 'dist'),
      bundle: true,
      splitting: true,
      platform: 'node',
      format: 'esm',
      external: ['koffi'],
      logLevel: 'warning',
    });
    const typescript = join(root, 'node_modules/.bin/tsc');
    await run(typescript, ['-p', join(root, 'tsconfig.types.json'), '--outDir', join(folder, 'dist/types')]);
  }, 60_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(EXPORTS)('exports $name from one source, which is built and typed', ({ types, code, source }) => {
    expect(existsSync(join(root, source))).toBe(true);
    expect(files).toContain(source);
    expect(read('.ci/build.mjs')).toContain(
      `{ in: '${source}', out: '${code.replace('./dist/', '').replace('.js', '')}' }`,
    );
    expect(existsSync(join(folder, types))).toBe(true);
    expect(existsSync(join(folder, code))).toBe(true);
  });

  it('types nothing that it does not export', () => {
    expect(files).toEqual(EXPORTS.map(({ source }) => source));
  });

  it('is imported by its names, with types and without the rest of the program', async () => {
    const options = ['--module', 'nodenext', '--target', 'es2022', '--strict', '--types', 'node', '--skipLibCheck'];
    await run(join(root, 'node_modules/.bin/tsc'), ['--noEmit', ...options, 'consumer.ts'], { cwd: folder });
    const { code } = await transform(CONSUMER, { loader: 'ts' });
    writeFileSync(join(folder, 'consumer.mjs'), code);
    const { stdout } = await run(process.execPath, ['consumer.mjs'], { cwd: folder });
    expect(stdout).toBe('add rule ip t c ip daddr 10.0.0.1 goto x');
  }, 60_000);
});
