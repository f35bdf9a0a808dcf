/**
 * Problems of a configuration, as the operator reads them.
 *
 * All problems of one load go into one error, so that a file is not repaired one line and one restart at a time. Knows no
 * flag and no key.
 */
import { distance } from 'fastest-levenshtein';

/** The operator's input cannot be used. The message is meant for the operator; a stack trace would say nothing more. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** One sentence each, naming the flag or the key. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const [first = 'unknown problem'] = problems;
    super(problems.length <= 1 ? first : `${problems.length} problems:\n${problems.map((p) => `  ${p}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Enough of a value to recognise it by, when whole groups stand where one value should. */
const LONGEST_QUOTE = 100;

/** `"userspace"`: a value of any type, as JSON spells it. */
const quote = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text;
};

/** `name: expected a, got b`, the form of every complaint about one value. */
export const complaint = (name: string, expected: string, got: unknown): string =>
  `${name}: expected ${expected}, got ${quote(got)}`;

/** Case and separators are what people get wrong without knowing; they do not count as differences. */
const fold = (name: string): string => name.toLowerCase().replace(/[-_.]/g, '');

/** The known name most like an unknown one; undefined when even that has little in common with it. */
export const nearest = (unknown: string, known: readonly string[]): string | undefined => {
  const word = fold(unknown);
  const ranked = known
    .map((name) => ({ name, edits: distance(word, fold(name)) }))
    .toSorted((a, b) => a.edits - b.edits);
  const [best] = ranked;
  return best !== undefined && best.edits <= Math.max(word.length, fold(best.name).length) / 2 ? best.name : undefined;
};
