/** The READMEs: links lead somewhere, paths and scripts that they name exist, and each README is reached from the first one. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const START = 'README.md';
const NOT_OURS = ['node_modules', 'dist', '.git'];

const readmesIn = (folder: string): readonly string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return NOT_OURS.includes(entry.name) ? [] : readmesIn(path);
    return entry.name === 'README.md' ? [path] : [];
  });

/** Text without blocks of code. */
const proseOf = (text: string): string => text.replace(/^```[\s\S]*?^```$/gm, '');

/** As GitHub makes them of headings. */
const anchorsIn = (text: string): readonly string[] =>
  [...proseOf(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );

interface Link {
  /** From the root; a folder's own name for a link to a folder. */
  readonly path: string;
  readonly anchor: string | undefined;
}

const linksIn = (readme: string, text: string): readonly Link[] =>
  [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^\w+:/.test(target))
    .map((target) => {
      const [path = '', anchor] = target.split('#');
      return { path: path === '' ? readme : join(dirname(readme), path), anchor };
    });

/** What is wrong with a link; undefined for one that leads somewhere. */
const problemOf = ({ path, anchor }: Link): string | undefined => {
  if (path.startsWith('..')) return `${path} is outside`;
  if (!existsSync(join(root, path))) return `${path} is not there`;
  if (anchor === undefined) return undefined;
  return anchorsIn(readFileSync(join(root, path), 'utf8')).includes(anchor) ? undefined : `${path} has no #${anchor}`;
};

const READMES = readmesIn('').map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly scripts: object };

describe.each(READMES)('$path', ({ path, text }) => {
  it('has links that lead somewhere', () => {
    expect(linksIn(path, text).flatMap((link) => problemOf(link) ?? [])).toEqual([]);
  });

  it('names files that there are', () => {
    const named = [...text.matchAll(/`((?:src|test|bench|manifests|\.ci)\/[\w./-]+)`/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !existsSync(join(root, name)))).toEqual([]);
  });

  it('names scripts that there are', () => {
    const named = [...text.matchAll(/npm run (?:--silent )?([\w-]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('the READMEs', () => {
  it('are reached from the first one', () => {
    const reached = new Set([START]);
    for (const path of reached) {
      const text = READMES.find((readme) => readme.path === path)?.text ?? '';
      for (const link of linksIn(path, text)) if (link.path.endsWith('README.md')) reached.add(link.path);
    }
    expect([...reached].sort()).toEqual(READMES.map(({ path }) => path).sort());
  });

  it('are found in every room that others are told of', () => {
    const rooms = READMES.map(({ path }) => relative('.', dirname(path)));
    expect(rooms).toEqual(expect.arrayContaining(['', 'src', 'src/backends', 'src/config', 'src/observe', 'test']));
  });
});

describe('the check finds', () => {
  it.each([
    ['[x](no-such-file.ts)', 'no-such-file.ts is not there'],
    ['[x](#no-such-heading)', 'README.md has no #no-such-heading'],
    ['[x](src/README.md#nowhere)', 'src/README.md has no #nowhere'],
    ['[x](../elsewhere)', '../elsewhere is outside'],
  ])('%s', (text, problem) => {
    expect(linksIn(START, text).map(problemOf)).toEqual([problem]);
  });
});
