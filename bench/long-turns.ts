/** Causes of long turns: a profiler's samples, by function of the sources. */
import { readFile } from 'node:fs/promises';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type LoopReport, ownMs } from '../src/lab/probe/report.ts';

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}

interface Node {
  readonly id: number;
  readonly callFrame: Frame;
  readonly children?: readonly number[];
}

interface Profile {
  readonly nodes: readonly Node[];
  /** Start time in microseconds. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  /** Start of the process's own clock. */
  readonly zero: number;
}

const SHOWN_TURNS = 6;
const SHOWN_FUNCTIONS = 14;
const LONG_MS = 40;

export const longTurns = async ({ gaps, pauses, profile: file }: LoopReport): Promise<void> => {
  const profile = JSON.parse(await readFile(file ?? '', 'utf8')) as Profile;
  const maps = new Map<string, SourceMap | undefined>();
  const names = new Map<number, string>();
  for (const { id, callFrame } of profile.nodes) names.set(id, await nameOf(callFrame, maps));
  const parents = new Map<number, number>();
  for (const { id, children = [] } of profile.nodes) for (const child of children) parents.set(child, id);
  const long = gaps.filter((gap) => ownMs(gap) > LONG_MS).sort((a, b) => ownMs(b) - ownMs(a));
  for (const gap of long.slice(0, SHOWN_TURNS)) {
    const own = pauses.filter(({ at }) => at >= gap.at - 1 && at < gap.at + gap.ms);
    const collected = own.map(({ ms, kind }) => `${kind}:${ms.toFixed(0)}`).join(' ');
    console.log(
      `  turn of ${gap.ms.toFixed(0)} ms (${ownMs(gap).toFixed(0)} own) at ${gap.at.toFixed(0)}; collector ${collected}`,
    );
    const totals = new Map<string, number>();
    let at = profile.startTime;
    for (const [i, sample] of profile.samples.entries()) {
      const delta = profile.timeDeltas[i] ?? 0;
      at += delta;
      const ms = (at - profile.zero) / 1_000;
      if (ms < gap.at || ms > gap.at + gap.ms) continue;
      const stack = new Set<string>();
      for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) stack.add(names.get(id) ?? '');
      for (const name of stack) totals.set(name, (totals.get(name) ?? 0) + delta / 1_000);
    }
    const top = [...totals].filter(([name]) => name !== '' && !name.startsWith('(root)')).sort(([, a], [, b]) => b - a);
    for (const [name, ms] of top.slice(0, SHOWN_FUNCTIONS)) console.log(`    ${ms.toFixed(0).padStart(6)} ms  ${name}`);
  }
};

const nameOf = async (
  { functionName, url, lineNumber, columnNumber }: Frame,
  maps: Map<string, SourceMap | undefined>,
): Promise<string> => {
  if (!url.startsWith('file:')) return `${functionName} ${url}`;
  const path = fileURLToPath(url);
  if (!maps.has(path))
    maps.set(
      path,
      await readFile(`${path}.map`, 'utf8').then(
        (text) => new SourceMap(JSON.parse(text)),
        () => undefined,
      ),
    );
  const entry = maps.get(path)?.findEntry(lineNumber, columnNumber);
  if (entry === undefined || !('originalSource' in entry)) return `${functionName} ${path}`;
  return `${functionName} ${entry.originalSource.replace(/^(\.\.\/)+/, '')}:${entry.originalLine + 1}`;
};
