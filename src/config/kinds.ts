/**
 * The kinds of value that settings have: how each is written on the command line, how in YAML, and what is accepted.
 *
 * A kind knows nothing of the setting that uses it. It answers undefined for a value that it does not accept; the reader
 * then says what was `expected`.
 */
import { parseCIDR, parseIP } from '../model/address.ts';
import { formatDuration, parseDuration } from './duration.ts';

export interface Kind<T> {
  /** Ends the sentence "expected …". */
  readonly expected: string;
  /** Stands for the value in the help. */
  readonly placeholder: string;
  /** Empty text means "not given", as Go's zero value does. */
  readonly emptyIsUnset: boolean;
  fromText(text: string): T | undefined;
  /** From YAML or JSON, where values have types. */
  fromData(data: unknown): T | undefined;
  /** For the help. */
  format(value: T): string;
  /** Meaning of a repeated flag; without it the last one counts. */
  join?(earlier: T, later: T): T;
}

type Parse<T> = (text: string) => T | undefined;

/** A kind that is a string in YAML too. */
export const textual = <T>(
  expected: string,
  placeholder: string,
  fromText: Parse<T>,
  format: (value: T) => string = String,
): Kind<T> => ({
  expected,
  placeholder,
  emptyIsUnset: true,
  fromText,
  fromData: (data) => (typeof data === 'string' ? fromText(data) : undefined),
  format,
});

export const text: Kind<string> = textual('text', 'text', (given) => given);

export const path: Kind<string> = { ...text, placeholder: 'path' };

/** Text that must look like something. */
export const matching = (pattern: RegExp, expected: string, placeholder: string): Kind<string> =>
  textual(expected, placeholder, (given) => (pattern.test(given) ? given : undefined));

const enumerate = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;

export const choice = <T extends string>(...words: readonly T[]): Kind<T> =>
  textual(enumerate(words), 'name', (given) => words.find((word) => word === given));

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'true', 'True', 'TRUE'].map((word) => [word, true] as const),
  ...['0', 'f', 'F', 'false', 'False', 'FALSE'].map((word) => [word, false] as const),
]);

/** Go's words for yes and no; undefined for any other. */
export const parseBoolean: Parse<boolean> = (given) => BOOLEANS.get(given);

export const boolean: Kind<boolean> = {
  expected: 'true or false',
  placeholder: 'bool',
  emptyIsUnset: false,
  fromText: parseBoolean,
  fromData: (data) => (typeof data === 'boolean' ? data : undefined),
  format: String,
};

/** A leading zero would be octal to Go, so it is refused. */
const INTEGER = /^[+-]?(0|[1-9]\d*)$/;

export const integer = (min: number, max: number): Kind<number> => {
  const within = (value: number): number | undefined => (value >= min && value <= max ? value : undefined);
  return {
    expected: `a whole number from ${min} to ${max}`,
    placeholder: 'number',
    emptyIsUnset: false,
    fromText: (given) => (INTEGER.test(given) ? within(Number(given)) : undefined),
    fromData: (data) => (typeof data === 'number' && Number.isInteger(data) ? within(data) : undefined),
    format: String,
  };
};

const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export const decimal: Kind<number> = {
  expected: 'a number',
  placeholder: 'number',
  emptyIsUnset: false,
  fromText: (given) => (DECIMAL.test(given) && Number.isFinite(Number(given)) ? Number(given) : undefined),
  fromData: (data) => (typeof data === 'number' && Number.isFinite(data) ? data : undefined),
  format: String,
};

/** Milliseconds. In YAML a duration is the same text as on the command line. */
const durationAs = (expected: string, accepts: (milliseconds: number) => boolean): Kind<number> => {
  const parse: Parse<number> = (given) => {
    const milliseconds = parseDuration(given);
    return milliseconds !== undefined && accepts(milliseconds) ? milliseconds : undefined;
  };
  return { ...textual(expected, 'duration', parse, formatDuration), emptyIsUnset: false };
};

export const duration = durationAs('a duration of 0 or more, such as 30s', (milliseconds) => milliseconds >= 0);

/** In a file 0 passes: there it is Go's word for "not given", and the field is left at its default. */
export const positiveDuration: Kind<number> = {
  ...durationAs('a duration above 0, such as 30s', (milliseconds) => milliseconds > 0),
  fromData: duration.fromData,
};

/** Logging's flush frequency: older files give it as a number of nanoseconds. */
export const durationOrNanoseconds: Kind<number> = {
  ...duration,
  expected: 'a duration of 0 or more, such as 5s, or a number of nanoseconds',
  fromData: (data) => (typeof data === 'number' ? (data >= 0 ? data / 1e6 : undefined) : duration.fromData(data)),
};

/** An address, with or without the brackets that people put around an IPv6 one. */
export const ip: Kind<string> = textual('an IP address', 'ip', (given) =>
  parseIP(/^\[(.*:.*)\]$/.exec(given)?.[1] ?? given),
);

const canonicalCIDR: Parse<string> = (given) => parseCIDR(given)?.text;

/** All of them, or undefined as soon as one is not accepted. */
const every = <T>(items: readonly string[], parse: Parse<T>): readonly T[] | undefined => {
  const parsed = items.flatMap((item) => parse(item) ?? []);
  return parsed.length === items.length ? parsed : undefined;
};

const items = (given: string): readonly string[] => (given === '' ? [] : given.split(',').map((item) => item.trim()));

const list = (
  expected: string,
  parse: (given: readonly string[]) => readonly string[] | undefined,
): Kind<readonly string[]> => ({
  expected,
  placeholder: 'list',
  emptyIsUnset: true,
  fromText: (given) => parse(items(given)),
  fromData: (data) => (Array.isArray(data) && data.every((item) => typeof item === 'string') ? parse(data) : undefined),
  format: (value) => value.join(','),
  join: (earlier, later) => [...earlier, ...later],
});

export const cidrs = list('CIDRs', (given) => every(given, canonicalCIDR));

export const cidrsOrPrimary = list('CIDRs, or just "primary"', (given) =>
  given.length === 1 && given[0] === 'primary' ? given : every(given, canonicalCIDR),
);

/** Comma-separated even in YAML. The families must differ: rules need to know which one a family's packets belong to. */
export const cidrPair: Kind<readonly string[]> = textual(
  'one CIDR, or an IPv4 and an IPv6 one with a comma between',
  'cidrs',
  (given) => {
    const networks = every(items(given), parseCIDR);
    const families = new Set(networks?.map((network) => network.family));
    return networks?.length === families.size ? networks.map((network) => network.text) : undefined;
  },
  (value) => value.join(','),
);
