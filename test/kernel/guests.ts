/**
 * Test files that run in a kernel of their own: each in one machine, and every test shown here with what became of it.
 */
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'vitest';
import { describeWith, type Need, unmet } from './requires.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const TIMEOUT_MS = 10 * 60_000;

export interface Guest {
  readonly title: string;
  /** The vitest project that runs there, also its folder of tests. */
  readonly project: string;
  readonly needs: readonly Need[];
  /** Processors that one of them takes. */
  readonly processors: number;
  run(options: {
    readonly command: readonly string[];
    readonly workingDirectory: string;
    readonly environment: Readonly<Record<string, string>>;
    readonly timeoutMs: number;
  }): Promise<{ readonly exitCode: number | undefined; readonly output: string; readonly console: string }>;
}

interface Outcome {
  readonly title: string;
  readonly status: string;
  readonly failureMessages: readonly string[];
}

/** What vitest's JSON reporter writes. */
interface Report {
  readonly testResults: readonly { readonly message: string; readonly assertionResults: readonly Outcome[] }[];
}

interface Run {
  readonly file: string;
  readonly outcomes: readonly Outcome[];
  /** What went wrong with the file as a whole. */
  readonly trouble: string | undefined;
}

const runFile = async (guest: Guest, file: string): Promise<Run> => {
  const folder = await mkdtemp(join(tmpdir(), 'pm-guest-'));
  const report = join(folder, 'report.json');
  try {
    const reporting = ['--reporter=json', `--outputFile=${report}`];
    const { exitCode, output, console } = await guest.run({
      command: [
        ...[process.execPath, 'node_modules/vitest/vitest.mjs', 'run'],
        ...[`--project=${guest.project}`, ...reporting, file],
      ],
      workingDirectory: ROOT,
      environment: { POINTSMAN_GUEST: guest.project },
      timeoutMs: TIMEOUT_MS,
    });
    const text = await readFile(report, 'utf8').catch(() => undefined);
    if (text === undefined) return { file, outcomes: [], trouble: `exit status ${exitCode}\n${output}\n${console}` };
    const { testResults } = JSON.parse(text) as Report;
    const outcomes = testResults.flatMap(({ assertionResults }) => assertionResults);
    const messages = testResults.map(({ message }) => message).filter((message) => message !== '');
    return {
      file,
      outcomes,
      trouble: outcomes.length === 0 ? `no test ran: ${messages.join('\n')}\n${output}` : undefined,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** As many kernels at a time as there are processors for them. */
const runAll = async (guest: Guest, files: readonly string[]): Promise<readonly Run[]> => {
  const queue = [...files];
  const runs: Run[] = [];
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) runs.push(await runFile(guest, file));
  };
  const workers = Math.max(1, Math.floor(cpus().length / guest.processors));
  await Promise.all(Array.from({ length: workers }, work));
  return runs;
};

/** Runs the guest's test files and shows their tests as this file's. */
export const guestTests = async (guest: Guest): Promise<void> => {
  const folder = `test/${guest.project}`;
  const files = readdirSync(join(ROOT, folder)).filter((name) => name.endsWith('.test.ts'));
  const canRun = unmet(guest.needs).length === 0;
  const paths = files.map((name) => `${folder}/${name}`);
  const runs = canRun ? await runAll(guest, paths) : [];
  describeWith(guest.needs, guest.title, () => runs.forEach(show));
};

const show = ({ file, outcomes, trouble }: Run): void => {
  describe(basename(file, '.test.ts'), () => {
    if (trouble !== undefined) {
      it('runs', () => {
        throw new Error(trouble);
      });
    }
    for (const [i, { title, status, failureMessages }] of outcomes.entries()) {
      it(`${i + 1}. ${title}`, () => {
        if (status !== 'passed') throw new Error(`${status}: ${failureMessages.join('\n')}`);
      });
    }
  });
};
