/** Answer times of URLs on a node, probed continuously from there. */
import { createInterface } from 'node:readline';
import { packageFile } from '../network/entry.ts';
import type { Lab } from '../network/lab.ts';
import type { NodeName } from '../network/plan.ts';

export interface AnswerTimes {
  /** Longest answer time since the last call in milliseconds, by URL; without URLs that refuse connections. */
  answers(): Promise<Readonly<Record<string, number>>>;
  stop(): void;
}

export const startAnswerTimes = (lab: Lab, node: NodeName, urls: readonly string[]): AnswerTimes => {
  const child = lab.spawn(node, process.execPath, [packageFile('dist/lab/asking.js'), ...urls], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
    buffer: false,
  });
  if (child.stdout === null) throw new Error('its answers cannot be read');
  const lines = createInterface({ input: child.stdout });
  return {
    answers: () =>
      new Promise((resolve) => {
        lines.once('line', (line) => resolve(JSON.parse(line) as Readonly<Record<string, number>>));
        child.stdin?.write('\n');
      }),
    stop: () => child.stdin?.end(),
  };
};
