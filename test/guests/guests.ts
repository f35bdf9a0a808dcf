/**
 * Test files that run in a kernel of their own: each in one machine, and every test shown here with what became of it.
 */
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'vitest';
import { describeWith, type Need, unmet } from '../kernel/requires.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const TIMEOUT_MS = 25 * 60_000;

export interface Guest {
  readonly title: string;
  /** The vitest project that runs there, also its folder of tests. */
  readonly project: string;
  readonly needs: readonly Need[];
  /** How many times as long as elsewhere the lab waits. */
  readonly patience: number;
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
  readonly seconds: number;
  /** What went wrong with the file as a whole. */
  readonly trouble: string | undefined;
}

const runFile = async (guest: Guest, file: string): Promise<Run> => {
  const folder = await mkdtemp(join(tmpdir(), 'pm-guest-'));
  const report = join(folder, 'report.json');
  const startedAt = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedAt) / 1_000);
  try {
    const reporting = ['--reporter=json', `--outputFile=${report}`];
    const { exitCode, output, console } = await guest.run({
      command: [
        ...[process.execPath, 'node_modules/vitest/vitest.mjs', 'run'],
        ...[`--project=${guest.project}`, ...reporting, file],
      ],
      workingDirectory: ROOT,
      environment: { POINTSMAN_GUEST: guest.project, LAB_PATIENCE: String(guest.patience) },
      timeoutMs: TIMEOUT_MS,
    });
    const text = await readFile(report, 'utf8').catch(() => undefined);
    if (text === undefined)
      return { file, outcomes: [], seconds: seconds(), trouble: `exit status ${exitCode}\n${output}\n${console}` };
    const { testResults } = JSON.parse(text) as Report;
    const outcomes = testResults.flatMap(({ assertionResults }) => assertionResults);
    const messages = testResults.map(({ message }) => message).filter((message) => message !== '');
    return {
      file,
      outcomes,
      seconds: seconds(),
      trouble: outcomes.length === 0 ? `no test ran: ${messages.join('\n')}\n${output}` : undefined,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** These take longest: begun first, they do not run on alone at the end. */
const LONG: readonly string[] = ['modes', 'traffic', 'conformance', 'switches', 'life'];

interface Job {
  readonly guest: Guest;
  readonly file: string;
}

const jobsOf = (guest: Guest): readonly Job[] => {
  const folder = `test/${guest.project}`;
  const files = readdirSync(join(ROOT, folder)).filter((name) => name.endsWith('.test.ts'));
  return files.map((name) => ({ guest, file: `${folder}/${name}` }));
};

const rank = ({ file }: Job): number =>
  (LONG.indexOf(basename(file, '.test.ts')) + LONG.length + 1) % (LONG.length + 1);

/** As many kernels at a time as there are processors: what runs beside them mostly waits. */
const runAll = async (jobs: readonly Job[]): Promise<ReadonlyMap<Guest, readonly Run[]>> => {
  const queue = [...jobs].sort((a, b) => rank(a) - rank(b));
  const runs = new Map<Guest, Run[]>();
  const work = async (): Promise<void> => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      const { guest, file } = job;
      runs.set(guest, [...(runs.get(guest) ?? []), await runFile(guest, file)]);
    }
  };
  await Promise.all(cpus().map(work));
  return runs;
};

/** Runs the guests' test files and shows their tests as this file's. */
export const guestTests = async (guests: readonly Guest[]): Promise<void> => {
  const able = guests.filter(({ needs }) => unmet(needs).length === 0);
  const runs = await runAll(able.flatMap(jobsOf));
  for (const guest of guests) describeWith(guest.needs, guest.title, () => (runs.get(guest) ?? []).forEach(show));
};

const show = ({ file, outcomes, seconds, trouble }: Run): void => {
  describe(`${basename(file, '.test.ts')}, ${seconds} s`, () => {
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
