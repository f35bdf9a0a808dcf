/** The table of flags and fields in src/config/README.md: none is missing, and what it says of each is what the program does. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FILE_PATHS, type FieldPath } from '../../src/config/fields.ts';
import { FLAGS, flagNamed, usualTargetOf } from '../../src/config/flag-table.ts';
import { KNOWN_GATES, reasonFor } from '../../src/config/ignored-settings.ts';

const README = readFileSync(new URL('../../src/config/README.md', import.meta.url), 'utf8');
const THEIRS = readFileSync(new URL('kube-proxy-flags.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n');

interface Row {
  readonly flags: readonly string[];
  readonly fields: readonly FieldPath[];
  readonly said: string;
}

const quoted = (cell: string): readonly string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);

/** `conntrack.*` is all of that group. */
const expand = (word: string): readonly FieldPath[] => {
  const group = word.endsWith('.*') ? word.slice(0, -1) : undefined;
  const paths = FILE_PATHS.filter((path) => (group === undefined ? path === word : path.startsWith(group)));
  if (paths.length === 0) throw new Error(`${word} is no field`);
  return paths;
};

const ROWS: readonly Row[] =
  (README.split('\n## Flags and fields\n')[1] ?? '')
    .split('\n##')[0]
    ?.split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| flag |'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
    .map(([flags = '', fields = '', said = '']) => ({
      flags: quoted(flags).map((word) => word.replace(/^--?/, '')),
      fields: quoted(fields).flatMap(expand),
      said,
    })) ?? [];

const sorted = (names: readonly string[]): readonly string[] => [...names].sort();

describe('the table of flags and fields', () => {
  it('has every flag once', () => {
    expect(sorted(ROWS.flatMap(({ flags }) => flags))).toEqual(sorted(FLAGS.map(({ name }) => name)));
    expect(ROWS.flatMap(({ flags }) => flags)).toEqual(expect.arrayContaining(THEIRS));
  });

  it('has every field once', () => {
    expect(sorted(ROWS.flatMap(({ fields }) => fields))).toEqual(sorted(FILE_PATHS));
  });

  it.each(ROWS)('says of $flags $fields what becomes of them', ({ flags, fields, said }) => {
    const paths: readonly FieldPath[] = [
      ...fields,
      ...flags.flatMap((name) => {
        const flag = flagNamed(name);
        return flag === undefined ? [] : [usualTargetOf(flag)];
      }),
    ];
    const reasons = new Set(paths.map((path) => reasonFor(path)));
    // a row is of one kind
    expect(reasons.size).toBe(1);
    const [reason] = reasons;
    if (reason === undefined) expect(said).toMatch(/^works/);
    else expect(said).toContain(`ignored: ${reason}`);
  });

  it('names the feature gates that do something', () => {
    const row = ROWS.find(({ flags }) => flags.includes('feature-gates'));
    expect(quoted(row?.said ?? '')).toEqual(KNOWN_GATES);
  });
});
