/**
 * Cost of one endpoint's change at a hundred times as many unrelated objects, in operations as test/growth counts them:
 * runs of functions and blocks, elements walked, messages and bytes for the kernel.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { packageFile } from '../src/lab/network/entry.ts';
import { show } from './test-bed.ts';

interface Figures {
  readonly runs: number;
  readonly walked: number;
  readonly messages: number;
  readonly bytes: number;
}

interface Row {
  readonly mode: string;
  readonly dimension: string;
  readonly figures: readonly [few: Figures, many: Figures];
  /** Functions that ran more often. */
  readonly more: readonly { readonly name: string; readonly runs: number }[];
}

const MORE_SHOWN = 3;
/** Difference above which a function is shown. */
const MIN_DIFFERENCE = 200;

export const growth = async (): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'growth-'));
  try {
    const table = join(folder, 'table');
    const vitest = packageFile('node_modules/vitest/vitest.mjs');
    const args = [vitest, 'run', '--project=unit', 'test/growth'];
    // a test that grows fails, and is a row here
    await execa(process.execPath, args, { env: { GROWTH_TABLE: table }, cwd: packageFile('.'), reject: false });
    for (const line of (await readFile(table, 'utf8')).trim().split('\n')) showRow(JSON.parse(line) as Row);
  } finally {
    await rm(folder, { recursive: true });
  }
};

const showRow = ({ mode, dimension, figures: [few, many], more }: Row): void => {
  const of = (name: keyof Figures): string => `${few[name]} → ${many[name]}`;
  show(`${mode}, 100 × ${dimension}`, {
    runs: of('runs'),
    walked: of('walked'),
    messages: of('messages'),
    bytes: of('bytes'),
  });
  const grown = more.filter(({ runs }) => runs > MIN_DIFFERENCE).slice(0, MORE_SHOWN);
  for (const { name, runs } of grown) console.log(`    ${runs} more of ${name}`);
};
