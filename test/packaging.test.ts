/** What others get: the READMEs, and the exports; each is built, has its types, and works alone, as its README uses it. */
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

/** The libraries that have a README of their own, with an example of their use. */
const LIBRARIES = ['ipvs-netlink', 'nftables-json'];

/** The program in a library's README. */
const exampleOf = (library: string): string => {
  const [, example] = /^```ts\n([\s\S]*?)^```$/m.exec(read(`src/${library}/README.md`)) ?? [];
  if (example === undefined) throw new Error(`the README of ${library} has no example`);
  return example;
};

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

  const typeCheck = async (file: string): Promise<void> => {
    const options = ['--module', 'nodenext', '--target', 'es2022', '--strict', '--types', 'node', '--skipLibCheck'];
    await run(join(root, 'node_modules/.bin/tsc'), ['--noEmit', ...options, file], { cwd: folder });
  };

  it('is imported by its names, with types and without the rest of the program', async () => {
    await typeCheck('consumer.ts');
    const { code } = await transform(CONSUMER, { loader: 'ts' });
    writeFileSync(join(folder, 'consumer.mjs'), code);
    const { stdout } = await run(process.execPath, ['consumer.mjs'], { cwd: folder });
    expect(stdout).toBe('add rule ip t c ip daddr 10.0.0.1 goto x');
  }, 60_000);

  it.each(LIBRARIES)(
    'is used as the README of %s says',
    async (library) => {
      writeFileSync(join(folder, `${library}.ts`), exampleOf(library));
      await typeCheck(`${library}.ts`);
    },
    60_000,
  );

  it('brings every README', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root });
    const [packed] = JSON.parse(stdout) as readonly { readonly files: readonly { readonly path: string }[] }[];
    const readmes = packed?.files.map(({ path }) => path).filter((path) => path.endsWith('README.md')) ?? [];
    expect(readmes).toEqual(expect.arrayContaining(['README.md', 'manifests/README.md', 'src/README.md']));
    expect(readmes).toEqual(expect.arrayContaining(LIBRARIES.map((library) => `src/${library}/README.md`)));
    expect(readmes.filter((path) => path.includes('node_modules'))).toEqual([]);
  }, 60_000);
});
