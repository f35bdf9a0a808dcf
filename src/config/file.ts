/**
 * The configuration file: KubeProxyConfiguration v1alpha1 in YAML or JSON, read strictly.
 *
 * kube-proxy goes on with a file that has unknown or doubled keys; here each is an error with its place, because a
 * setting that is silently not applied is worse than a start that fails. Knows no flags and no defaults.
 */
import { isRecord } from '../model/record.ts';
import { FILE_PATHS, type FieldPath } from './fields.ts';

import { complaint, nearest } from './problem.ts';
import { type Given, type Problem, type Reading, readData } from './settings.ts';
import { joinPath, type Locate, parseYaml } from './yaml-text.ts';

export const API_VERSION = 'kubeproxy.config.k8s.io/v1alpha1';
export const KIND = 'KubeProxyConfiguration';

/** Gives a file's text, as `fs.readFile` does. */
export type ReadFile = (path: string) => Promise<string>;

const FIELDS_BY_PATH: ReadonlyMap<string, FieldPath> = new Map(FILE_PATHS.map((path) => [path, path]));

/** Every key that has keys under it, and those keys. The file itself is the empty path. */
const KEYS: ReadonlyMap<string, ReadonlySet<string>> = (() => {
  const keys = new Map<string, Set<string>>([['', new Set(['apiVersion', 'kind'])]]);
  for (const path of FILE_PATHS) {
    const parts = path.split('.');
    for (const [depth, part] of parts.entries()) {
      const parent = parts.slice(0, depth).join('.');
      keys.set(parent, (keys.get(parent) ?? new Set()).add(part));
    }
  }
  return keys;
})();

interface Entry {
  readonly path: FieldPath;
  readonly given: Given;
}

const unknownKey = (parent: string, key: string): string => {
  const path = joinPath(parent, key);
  const sibling = nearest(key, [...(KEYS.get(parent) ?? [])]);
  // A key that is spelled well is more likely to stand in the wrong place than to be a misspelt neighbour.
  const moved = FILE_PATHS.find((known) => known.split('.').at(-1) === key);
  const hint = moved ?? (sibling === undefined ? undefined : joinPath(parent, sibling));
  const expected = `expected a key of ${parent === '' ? KIND : parent}`;
  return `${path}: unknown key, ${expected}${hint === undefined ? '' : `, the nearest known one is ${hint}`}`;
};

/** One key of a group: a setting, a group in its turn, or a mistake. */
const readKey = (parent: string, key: string, data: unknown, locate: Locate): readonly (Entry | Problem)[] => {
  const path = joinPath(parent, key);
  const field = FIELDS_BY_PATH.get(path);
  if (field !== undefined) {
    const read = readData(field, path, data);
    if (read.is === 'bad') return [{ ...read.problem, text: locate(path) + read.problem.text }];
    return read.is === 'set' ? [{ path: field, given: { value: read.value, name: path } }] : [];
  }
  if (!KEYS.has(path)) return [{ text: locate(path) + unknownKey(parent, key) }];
  if (data === null || data === undefined) return [];
  if (!isRecord(data)) return [{ text: locate(path) + complaint(path, 'a group of keys', data) }];
  return Object.entries(data).flatMap(([child, value]) => readKey(path, child, value, locate));
};

const readRoot = (data: unknown, file: string, locate: Locate): readonly (Entry | Problem)[] => {
  if (!isRecord(data)) return [{ text: complaint(file, `a ${KIND}`, data) }];
  const { apiVersion, kind, ...rest } = data;
  const heading = [
    ...(apiVersion === API_VERSION ? [] : [locate('apiVersion') + complaint('apiVersion', API_VERSION, apiVersion)]),
    ...(kind === KIND ? [] : [locate('kind') + complaint('kind', KIND, kind)]),
  ].map((text): Problem => ({ text }));
  // Keys of another kind of object would all be unknown, which says less than the heading does.
  if (heading.length > 0) return heading;
  return Object.entries(rest).flatMap(([key, value]) => readKey('', key, value, locate));
};

const isEntry = (item: Entry | Problem): item is Entry => 'given' in item;
const isProblem = (item: Entry | Problem): item is Problem => 'text' in item;

/** Reads the text of a configuration file; `file` is its name, for messages. Never throws. */
export const parseConfigText = async (text: string, file: string): Promise<Reading> => {
  const parsed = await parseYaml(text, file);
  if ('problem' in parsed) return { settings: new Map(), problems: [{ text: parsed.problem }] };
  const items = readRoot(parsed.data, file, parsed.locate);
  const entries = items.filter(isEntry);
  const doubled = parsed.doubled.map((path): Problem => ({ text: `${parsed.locate(path)}${path}: given twice` }));
  return {
    settings: new Map(entries.map((entry) => [entry.path, entry.given])),
    problems: [...doubled, ...items.filter(isProblem)],
  };
};

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'that is a directory',
  EACCES: 'it may not be read by this user',
};

const unreadable = (file: string, error: unknown): Problem => {
  const { code = '', message = String(error) } = (error ?? {}) as { readonly code?: string; readonly message?: string };
  return { text: `--config=${file}: ${REASONS[code] ?? message}` };
};

/** Reads a configuration file. What is wrong with it, even that it is missing, is among the problems. */
export const readConfigFile = async (file: string, readFile: ReadFile): Promise<Reading> => {
  let text: string;
  try {
    text = await readFile(file);
  } catch (error) {
    return { settings: new Map(), problems: [unreadable(file, error)] };
  }
  return parseConfigText(text, file);
};
