/**
 * Flags and file to the one configuration of a run.
 *
 * Owns the order of things: read both, let the flags that beat a file beat it, check, complete. All that is wrong is
 * reported at once.
 */

import { crossProblems } from './checks.ts';
import { completeConfig } from './complete.ts';
import type { Config, ProfileOf } from './config.ts';
import type { FieldPath } from './fields.ts';
import { type ReadFile, readConfigFile } from './file.ts';
import { settingsOfFlags } from './flag-settings.ts';
import type { FlagValues } from './flags.ts';
import { type FlagInForce, flagsInForce } from './flags-in-force.ts';
import { warningsFor } from './ignored-settings.ts';
import { ConfigError } from './problem.ts';
import { type Reading, type Settings, settingAt } from './settings.ts';

export interface LoadInput {
  readonly flags: FlagValues;
  readonly profileOf: ProfileOf;
  /** For tests; the file system if not given. */
  readonly readFile?: ReadFile;
}

export interface Loaded {
  readonly config: Config;
  /** For the log: settings that count for nothing. */
  readonly warnings: readonly string[];
  /** Every flag with the value that counts, whoever gave it. */
  readonly flags: readonly FlagInForce[];
}

const NOTHING: Reading = { settings: new Map(), problems: [] };

const fromDisk: ReadFile = async (path) => (await import('node:fs/promises')).readFile(path, 'utf8');

/** `--vmodule` does not replace the file's list: its items come first, and the first that matches counts. */
const merge = (file: Settings, flags: Settings): Settings => {
  const merged = new Map([...file, ...flags]);
  const added = flags.get('logging.vmodule');
  if (added !== undefined && file.has('logging.vmodule')) {
    const value = [...settingAt(flags, 'logging.vmodule'), ...settingAt(file, 'logging.vmodule')];
    merged.set('logging.vmodule', { ...added, value });
  }
  return merged;
};

/** Loads the configuration. Throws ConfigError with every problem found. */
export const loadConfig = async ({ flags, profileOf, readFile = fromDisk }: LoadInput): Promise<Loaded> => {
  const line = settingsOfFlags(flags, profileOf);
  const configFile = settingAt(line.settings, 'configFile');
  const file = configFile === '' ? NOTHING : await readConfigFile(configFile, readFile);
  const settings = merge(file.settings, line.settings);
  const read = [...line.problems, ...file.problems];
  const unread = new Set<FieldPath>(read.flatMap((problem) => problem.path ?? []));
  const problems = [...read, ...crossProblems(settings, unread)];
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => problem.text));
  const profile = profileOf(settingAt(settings, 'mode'));
  const warnings = [...line.warnings, ...warningsFor(settings, profile)];
  const config = completeConfig(settings, profile);
  return { config, warnings, flags: flagsInForce(settings, config) };
};
