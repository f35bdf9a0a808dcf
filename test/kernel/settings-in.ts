/** The kernel settings of a network namespace, for a process that is not in it: never those of the machine itself. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Sysctls } from '../../src/kernel/sysctl.ts';

const run = promisify(execFile);

export const settingsIn = (namespace: string): Sysctls => {
  const inside = async (...command: readonly string[]): Promise<string> =>
    (await run('ip', ['netns', 'exec', namespace, ...command])).stdout.trim();
  return {
    read: (path) => inside('cat', `/proc/sys/${path}`),
    write: async (path, value) => {
      await inside('sysctl', '-q', '-w', `${path.replaceAll('/', '.')}=${value}`);
    },
  };
};
