/**
 * The command line as kube-proxy's flag library reads it, put into the one spelling that commander reads the same way.
 *
 * Differences bridged: a boolean flag never takes the next word, a flag that needs a value always does, `-v=2` is a
 * value of 2, and underscores in names are dashes. Words that are no flags of ours pass unchanged.
 */
import { flagNamed, isBare } from './flag-table.ts';

/** `-v=2` is `--v=2`. Other short flags are left to commander. */
const withoutShort = (word: string): string => (word === '-v' || word.startsWith('-v=') ? `-${word}` : word);

/** Takes the arguments without the program's name, and gives them for `parse(…, { from: 'user' })`. */
export const normalizeArgv = (argv: readonly string[]): readonly string[] => {
  const normal: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = withoutShort(argv[i] ?? '');
    if (word === '--') return [...normal, ...argv.slice(i)];
    const [, given, value] = /^--([^=]+)(=.*)?$/s.exec(word) ?? [];
    if (given === undefined) {
      normal.push(word);
      continue;
    }
    const name = given.replaceAll('_', '-');
    const flag = flagNamed(name);
    if (flag === undefined || value !== undefined) normal.push(`--${name}${value ?? ''}`);
    else if (isBare(flag)) normal.push(`--${name}=true`);
    else if (i + 1 === argv.length) normal.push(`--${name}`);
    else normal.push(`--${name}=${argv[++i]}`);
  }
  return normal;
};
