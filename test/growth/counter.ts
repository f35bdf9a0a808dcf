/**
 * Counts what the program does, exactly and without a clock: how often each function and each block of the sources runs (the
 * engine's own coverage counters), and how many elements its loops, spreads and copies take from arrays, maps and sets.
 *
 * Blocks are counted in modules that are loaded after this one. The kernels in memory do not count.
 */
import { type Profiler, Session } from 'node:inspector';

export interface Operations {
  /** Runs of functions and blocks of src/. */
  readonly runs: number;
  /** Elements that iterators gave. */
  readonly walked: number;
  /** By function, as `path name`. */
  readonly byFunction: ReadonlyMap<string, number>;
}

const SOURCES = /\/src\/(?!lab\/|netlink\/dial)(.*)$/;

const session = new Session();
session.connect();

const post = <T>(method: string, params: object = {}): T => {
  let answer: T | undefined;
  session.post(method, params, (error, result) => {
    if (error !== null) throw new Error(`${method}: ${error.message}`);
    answer = result as T;
  });
  return answer as T;
};

post('Profiler.enable');
post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

const takeRuns = (): ReadonlyMap<string, number> => {
  const runs = new Map<string, number>();
  const { result } = post<Profiler.TakePreciseCoverageReturnType>('Profiler.takePreciseCoverage');
  for (const { url, functions } of result) {
    const path = SOURCES.exec(url)?.[1];
    if (path === undefined) continue;
    for (const { functionName, ranges } of functions) {
      const name = `${path} ${functionName}`;
      runs.set(
        name,
        ranges.reduce((sum, { count }) => sum + count, runs.get(name) ?? 0),
      );
    }
  }
  return runs;
};

let walked = 0;
let isCounting = false;

type Next = () => IteratorResult<unknown>;

/** What all iterators of a kind share. */
const kinds = [[], new Map(), new Set()].map((one) => Object.getPrototypeOf(one[Symbol.iterator]()) as { next: Next });

for (const kind of kinds) {
  const { next } = kind;
  kind.next = function (this: unknown) {
    if (isCounting) walked += 1;
    return next.call(this);
  };
}

/** What the others do in here is not the program's. */
export const uncounted = <T>(run: () => T): T => {
  const before = isCounting;
  isCounting = false;
  try {
    return run();
  } finally {
    isCounting = before;
  }
};

export const countOperations = async (run: () => Promise<unknown>): Promise<Operations> => {
  takeRuns();
  walked = 0;
  isCounting = true;
  try {
    await run();
  } finally {
    isCounting = false;
  }
  const byFunction = takeRuns();
  return { runs: [...byFunction.values()].reduce((sum, count) => sum + count, 0), walked, byFunction };
};
