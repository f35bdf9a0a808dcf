/**
 * Settings that the operator gave, and under which name: the state between reading and the finished configuration.
 *
 * A setting that was not given is not in here, so that defaults, precedence and "was it set at all" stay questions of
 * their own. Reads single values; knows neither files nor flags.
 */
import { type FieldPath, fallbackAt, fieldAt, type ValueAt } from './fields.ts';
import { complaint } from './problem.ts';

export interface Given {
  readonly value: unknown;
  /** The operator's word for it: `--oom-score-adj` or `oomScoreAdj`. */
  readonly name: string;
}

export type Settings = ReadonlyMap<FieldPath, Given>;

/** A problem, and its setting where that is known. */
export interface Problem {
  readonly text: string;
  readonly path?: FieldPath;
}

export interface Reading {
  readonly settings: Settings;
  readonly problems: readonly Problem[];
}

/** The value that counts: the one given, else the default. */
export const settingAt = <P extends FieldPath>(settings: Settings, path: P): ValueAt<P> => {
  const given = settings.get(path);
  // A value got in through this field's own kind, or through nothing.
  return given === undefined ? fallbackAt(path) : (given.value as ValueAt<P>);
};

export const nameOf = (settings: Settings, path: FieldPath): string => settings.get(path)?.name ?? path;

/** One value as read: set, left at its default, or not acceptable. */
export type Read =
  | { readonly is: 'set'; readonly value: unknown }
  | { readonly is: 'unset' }
  | { readonly is: 'bad'; readonly problem: Problem };

const UNSET: Read = { is: 'unset' };

const bad = (path: FieldPath, name: string, got: unknown): Read => ({
  is: 'bad',
  problem: { text: complaint(name, fieldAt(path).kind.expected, got), path },
});

/** Reads one value from the command line. */
export const readText = (path: FieldPath, name: string, text: string): Read => {
  const { kind } = fieldAt(path);
  if (text === '' && kind.emptyIsUnset) return UNSET;
  const value = kind.fromText(text);
  return value === undefined ? bad(path, name, text) : { is: 'set', value };
};

/** Reads one value from YAML or JSON, where null, and for some fields zero, means "not given" as in kube-proxy. */
export const readData = (path: FieldPath, name: string, data: unknown): Read => {
  const { kind, zeroIsUnset } = fieldAt(path);
  if (data === null || data === undefined || (data === '' && kind.emptyIsUnset)) return UNSET;
  const value = kind.fromData(data);
  if (value === undefined) return bad(path, name, data);
  return zeroIsUnset && value === 0 ? UNSET : { is: 'set', value };
};
