/** Loads configurations the way main does, from a command line and files that exist only in the test. */
import { Command } from 'commander';
import { profileOf } from '../../src/backends/index.ts';
import { normalizeArgv } from '../../src/config/argv.ts';
import { addFlags, type FlagValues, flagProblem, readFlags } from '../../src/config/flags.ts';
import { type Loaded, loadConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problem.ts';

export type Files = Readonly<Record<string, string>>;

const HEADING = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

/** A configuration file: the heading, then this. */
export const fileOf = (body: string): string => HEADING + body;

/** Parses a command line. Throws what commander throws. */
export const flagsOf = (...argv: readonly string[]): FlagValues => {
  const command = new Command('test').exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
  addFlags(command);
  command.parse([...normalizeArgv(argv)], { from: 'user' });
  return readFlags(command);
};

const reader =
  (files: Files) =>
  async (path: string): Promise<string> => {
    const text = files[path];
    if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return text;
  };

export const loadLine = (argv: readonly string[], files: Files = {}): Promise<Loaded> =>
  loadConfig({ flags: flagsOf(...argv), profileOf, readFile: reader(files) });

/** Loads the body of a configuration file. */
export const loadFile = (body: string, argv: readonly string[] = []): Promise<Loaded> =>
  loadLine(['--config=/etc/p.yaml', ...argv], { '/etc/p.yaml': fileOf(body) });

/** The problems of a load that must fail. */
export const problemsOf = async (load: Promise<Loaded>): Promise<readonly string[]> => {
  const error: unknown = await load.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ConfigError) return error.problems;
  throw new Error(`expected a ConfigError, got ${String(error)}`);
};

/** What main would say about a command line that cannot be parsed. */
export const lineProblem = (...argv: readonly string[]): string | undefined => {
  try {
    flagsOf(...argv);
    return undefined;
  } catch (error) {
    return flagProblem(error);
  }
};
