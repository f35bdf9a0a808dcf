/** Programs of a test's own in a folder of their own: small shell scripts under the names of real tools. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Scripts {
  readonly folder: string;
  /** The path of a program, whether it is there or not. */
  readonly path: (name: string) => string;
  /** Makes a program out of the lines of a shell script. */
  readonly add: (name: string, ...lines: readonly string[]) => Promise<string>;
  readonly remove: () => Promise<void>;
}

export const makeScripts = async (): Promise<Scripts> => {
  const folder = await mkdtemp(join(tmpdir(), 'pointsman-scripts-'));
  const path = (name: string): string => join(folder, name);
  return {
    folder,
    path,
    add: async (name, ...lines) => {
      await writeFile(path(name), `#!/bin/sh\n${lines.join('\n')}\n`, { mode: 0o755 });
      return path(name);
    },
    remove: () => rm(folder, { recursive: true }),
  };
};

/** The line of a script that prints this text as it is. */
export const print = (text: string): string => `cat <<'END'\n${text}\nEND`;
