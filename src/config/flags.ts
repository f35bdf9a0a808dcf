/**
 * Flags on a commander Command: registering them, taking out what was given, saying what was wrong.
 *
 * Values stay text here, so that all bad ones of a command line are reported together and in the words of a file's.
 * Knows commander; knows no configuration file.
 */
import type { Command } from 'commander';
import { fallbackAt } from './fields.ts';
import { FLAGS, type Flag, isBare, kindOf, usualTargetOf } from './flag-table.ts';
import { ConfigError, nearest } from './problem.ts';

/** Each flag that was given, by its name without dashes: its texts, in the order in which they were given. */
export type FlagValues = ReadonlyMap<string, readonly string[]>;

/** Value that commander keeps for a flag: a bare one arrives as `true`. */
type Kept = readonly string[] | true | undefined;

const textsOf = (kept: Kept): readonly string[] => (kept === true ? ['true'] : (kept ?? []));

const describe = (flag: Flag): string => {
  const fallback = kindOf(flag).format(fallbackAt(usualTargetOf(flag)));
  return fallback === '' || fallback === 'false' ? flag.help : `${flag.help} (default ${fallback})`;
};

const syntaxOf = (flag: Flag): string => {
  const { placeholder } = kindOf(flag);
  const short = flag.name === 'v' ? '-v, ' : '';
  return `${short}--${flag.name} ${isBare(flag) ? `[${placeholder}]` : `<${placeholder}>`}`;
};

/** Registers every flag. The arguments are expected to have gone through `normalizeArgv`. */
export const addFlags = (command: Command): void => {
  for (const flag of FLAGS) {
    const option = command.createOption(syntaxOf(flag), describe(flag));
    option.argParser((text: string, kept: Kept) => [...textsOf(kept), text]);
    command.addOption(option.helpGroup(flag.group));
  }
};

/** commander's property name of an option. */
const propertyOf = (name: string): string => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

/** The flags that were given to a parsed command or to those above it. */
export const readFlags = (command: Command): FlagValues => {
  const kept = command.optsWithGlobals<Readonly<Record<string, Kept>>>();
  return new Map(
    FLAGS.flatMap((flag) => {
      const texts = textsOf(kept[propertyOf(flag.name)]);
      return texts.length === 0 ? [] : [[flag.name, texts] as const];
    }),
  );
};

/** Form that `--version` asks for; undefined when it was not given. */
export const versionAsked = (flags: FlagValues): 'plain' | 'raw' | undefined => {
  const asked = flags.get('version')?.at(-1);
  if (asked === 'raw') return 'raw';
  return asked === 'true' ? 'plain' : undefined;
};

const isCommanderError = (error: unknown): error is Error & { readonly code: string; readonly exitCode: number } =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('commander.');

const unknownFlag = (message: string): string => {
  const [, given = ''] = /unknown option '([^'=]*)/.exec(message) ?? [];
  const [, suggested] = /Did you mean (?:one of )?(-[\w-]+)/.exec(message) ?? [];
  const known = nearest(
    given,
    FLAGS.map((flag) => `--${flag.name}`),
  );
  const hint = known ?? suggested;
  return `unknown flag ${given}${hint === undefined ? '' : `, the nearest known one is ${hint}`}`;
};

/**
 * Text for the operator about an error thrown while flags were parsed or the configuration was loaded. Undefined
 * when nothing is wrong (help was printed) and when the error is none of ours.
 */
export const flagProblem = (error: unknown): string | undefined => {
  if (error instanceof ConfigError) return error.message;
  if (!isCommanderError(error) || error.exitCode === 0) return undefined;
  if (error.code === 'commander.unknownOption') return unknownFlag(error.message);
  if (error.code === 'commander.optionMissingArgument') {
    const [, name = ''] = /(--[\w-]+)/.exec(error.message) ?? [];
    return `${name}: a value is missing`;
  }
  return error.message.replace(/^error: /, '');
};
