/**
 * From flags as given to settings: values, the settings on which they land, and who wins over a file.
 *
 * Owns kube-proxy's precedence: with a file, flags other than a few are ignored. Reads no file.
 */
import type { ProfileOf } from './config.ts';
import { type FieldPath, fieldAt } from './fields.ts';
import { FLAGS, type Flag, targetOf, usualTargetOf } from './flag-table.ts';
import type { FlagValues } from './flags.ts';
import type { Kind } from './kinds.ts';
import { type Given, type Problem, type Reading, readText, type Settings, settingAt } from './settings.ts';

export interface FlagReading extends Reading {
  /** Flags that count for nothing, each with the reason. */
  readonly warnings: readonly string[];
}

interface Outcome {
  readonly flag: Flag;
  /** Undefined when the flag is at its default, or bad. */
  readonly given: Given | undefined;
  readonly problems: readonly Problem[];
}

const joinAll = (values: readonly unknown[], kind: Kind<unknown>): unknown =>
  values.reduce((earlier, later) => kind.join?.(earlier, later) ?? later);

/** All occurrences of one flag. Each must be readable, even one that another overrides. */
const readFlag = (flag: Flag, texts: readonly string[]): Outcome => {
  const name = `--${flag.name}`;
  const path = usualTargetOf(flag);
  const { kind } = fieldAt(path);
  const reads = texts.map((text) => readText(path, name, text));
  const problems = reads.flatMap((read) => (read.is === 'bad' ? [read.problem] : []));
  const counting = kind.join === undefined ? reads.slice(-1) : reads;
  const values = counting.flatMap((read) => (read.is === 'set' ? [read.value] : []));
  const given = values.length === 0 ? undefined : { value: joinAll(values, kind), name };
  return { flag, given, problems };
};

const settingsOf = (outcomes: readonly Outcome[], target: (flag: Flag) => FieldPath | undefined): Settings =>
  new Map(
    outcomes.flatMap(({ flag, given }): (readonly [FieldPath, Given])[] => {
      const path = target(flag);
      return given === undefined || path === undefined ? [] : [[path, given]];
    }),
  );

const givenAmong = (outcomes: readonly Outcome[]): readonly Outcome[] =>
  outcomes.filter((outcome) => outcome.given !== undefined);

const ignoredFlags = (ignored: readonly Outcome[], configFile: string): readonly string[] =>
  ignored.length === 0
    ? []
    : [`ignored, as --config=${configFile} counts instead: ${ignored.map(({ flag }) => `--${flag.name}`).join(', ')}`];

/** Reads the values and drops those that a configuration file, or the proxy mode, leaves without effect. */
export const settingsOfFlags = (flags: FlagValues, profileOf: ProfileOf): FlagReading => {
  const outcomes = FLAGS.flatMap((flag) => {
    const texts = flags.get(flag.name);
    return texts === undefined ? [] : [readFlag(flag, texts)];
  });
  const problems = outcomes.flatMap((outcome) => outcome.problems);
  // The two settings that decide what becomes of the others are the same in every mode.
  const first = settingsOf(outcomes, usualTargetOf);
  const configFile = settingAt(first, 'configFile');
  if (configFile !== '') {
    const winners = outcomes.filter((outcome) => outcome.flag.beatsFile);
    const losers = givenAmong(outcomes.filter((outcome) => !outcome.flag.beatsFile));
    return { settings: settingsOf(winners, usualTargetOf), problems, warnings: ignoredFlags(losers, configFile) };
  }
  const mode = settingAt(first, 'mode');
  const target = (flag: Flag): FieldPath | undefined => targetOf(flag, profileOf(mode));
  const idle = givenAmong(outcomes).filter(({ flag }) => target(flag) === undefined);
  const warnings = idle.map(({ flag }) => `--${flag.name} has no effect in mode ${mode}`);
  return { settings: settingsOf(outcomes, target), problems, warnings };
};
