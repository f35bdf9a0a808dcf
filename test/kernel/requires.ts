/**
 * What a test on the real kernel needs of its machine. Where something is missing the suite is skipped and its title
 * says why; under CI it fails instead, as a suite that nobody can run proves nothing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';

export interface Need {
  /** As in "needs …". */
  readonly what: string;
  isMet(): boolean;
}

const FOLDERS = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];

export const program = (name: string): Need => ({
  what: `the program ${name}`,
  isMet: () => FOLDERS.some((folder) => folder !== '' && existsSync(join(folder, name))),
});

/** Root by name is not enough: a container's often may not make namespaces. */
export const namespaces: Need = {
  what: 'root with the right to make network namespaces',
  isMet: () => process.getuid?.() === 0 && spawnSync('unshare', ['--net', 'true']).status === 0,
};

const bundle: Need = {
  what: 'the built program (npm run build)',
  isMet: () => existsSync(new URL('../../dist/lab/process.js', import.meta.url)),
};

/** What every lab needs. */
export const LAB_NEEDS: readonly Need[] = [program('ip'), program('bridge'), program('sysctl'), namespaces, bundle];

/** What of these this machine has not. */
export const unmet = (needs: readonly Need[]): readonly string[] =>
  needs.filter((need) => !need.isMet()).map(({ what }) => what);

/** A suite that runs where its needs are met. */
export const describeWith = (needs: readonly Need[], title: string, suite: () => void): void => {
  const missing = unmet(needs);
  if (missing.length === 0) {
    describe(title, suite);
    return;
  }
  const reason = `needs ${missing.join(', ')}`;
  if (process.env.CI === undefined) {
    describe.skip(`${title} [skipped: ${reason}]`, suite);
    return;
  }
  describe(title, () => {
    test('has what it needs', () => {
      throw new Error(reason);
    });
  });
};
