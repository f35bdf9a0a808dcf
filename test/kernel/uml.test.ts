/**
 * Mode ipvs on a kernel that has IPVS: the tests of test/uml run in User Mode Linux, each file in a kernel of its own, and
 * every one of them is shown here with what became of it.
 */
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'vitest';
import { runInUml } from '../../src/lab/uml/uml.ts';
import { describeWith, LAB_NEEDS, program, unmet } from './requires.ts';

const NEEDS = [
  ...LAB_NEEDS,
  ...['linux.uml', 'modprobe', 'iptables-legacy', 'ipset', 'ipvsadm', 'conntrack', 'socat', 'cc'].map(program),
];
const ROOT = new URL('../..', import.meta.url).pathname;
const TIMEOUT_MS = 10 * 60_000;

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

const runFile = async (file: string): Promise<Run> => {
  const folder = await mkdtemp(join(tmpdir(), 'pm-uml-report-'));
  const report = join(folder, 'report.json');
  try {
    const { exitCode, output, console } = await runInUml({
      command: [
        process.execPath,
        'node_modules/vitest/vitest.mjs',
        'run',
        '--project=uml',
        '--reporter=json',
        `--outputFile=${report}`,
        file,
      ],
      workingDirectory: ROOT,
      environment: { POINTSMAN_IN_UML: '1' },
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

/** As many kernels at a time as there are processors: each has one. */
const runAll = async (files: readonly string[]): Promise<readonly Run[]> => {
  const queue = [...files];
  const runs: Run[] = [];
  const work = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) runs.push(await runFile(file));
  };
  await Promise.all(cpus().map(work));
  return runs;
};

const files = readdirSync(join(ROOT, 'test/uml')).filter((name) => name.endsWith('.test.ts'));
const runs = unmet(NEEDS).length === 0 ? await runAll(files.map((name) => `test/uml/${name}`)) : [];

describeWith(NEEDS, 'User Mode Linux', () => {
  for (const { file, outcomes, trouble } of runs) {
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
  }
});
