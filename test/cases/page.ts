/** The pages: what a case is, and reading one. Unknown words are refused, lest a misspelt expectation says nothing. */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';

export interface KubernetesObject {
  readonly kind: ObjectKind;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

/** By owner: its endpoints in short (see shown.ts). */
export type ModelText = Readonly<Record<string, string>>;

export interface Step {
  /** What happens. */
  readonly step: string;
  readonly put: readonly KubernetesObject[];
  readonly delete: readonly KubernetesObject[];
  readonly model: Readonly<Record<'IPv4' | 'IPv6', ModelText>>;
  /** Objects that cannot be read: `Service shop/web: what is wrong with it`. */
  readonly problems: readonly string[];
  /** Owners that do not get all they want, and what they are told; the same in each family that has them. */
  readonly shadowed: ModelText;
}

export interface Page {
  readonly name: string;
  readonly title: string;
  /** Of the program, besides the usual ones. */
  readonly flags: Readonly<Record<string, string>>;
  /** Show everything at the first step, with what the node needs anyway. */
  readonly whole: boolean;
  readonly steps: readonly Step[];
}

type Raw = Readonly<Record<string, unknown>>;

const FOLDER = new URL('.', import.meta.url);
const PAGE_WORDS = ['title', 'flags', 'whole', 'steps'];
const STEP_WORDS = ['step', 'put', 'delete', 'model', 'problems', 'shadowed'];
const REPEAT_WORDS = ['repeat', 'objects'];

const known = (value: unknown, words: readonly string[], where: string): Raw => {
  if (typeof value !== 'object' || value === null) throw new Error(`${where} is no mapping`);
  const odd = Object.keys(value).filter((word) => !words.includes(word));
  if (odd.length > 0) throw new Error(`${where}: ${odd.join(', ')} is not known, only ${words.join(', ')}`);
  return value as Raw;
};

/** All pages, by name. */
export const readPages = (): readonly Page[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => readPage(file.replace('.yaml', ''), readFileSync(new URL(file, FOLDER), 'utf8')));

const readPage = (name: string, text: string): Page => {
  const page = known(parse(text, { merge: true }), PAGE_WORDS, name);
  const steps = (page.steps as readonly unknown[]).map((step, i) => readStep(step, `${name}, step ${i + 1}`));
  return {
    name,
    title: String(page.title),
    flags: (page.flags ?? {}) as Page['flags'],
    whole: page.whole === true,
    steps,
  };
};

const readStep = (value: unknown, where: string): Step => {
  const step = known(value, STEP_WORDS, where);
  const model = known(step.model ?? {}, ['IPv4', 'IPv6'], `${where}, model`);
  return {
    step: String(step.step),
    put: ((step.put ?? []) as readonly unknown[]).flatMap((entry) => readEntry(entry, where)),
    delete: ((step.delete ?? []) as readonly string[]).map((text) => readReference(text, where)),
    model: { IPv4: readModel(model.IPv4), IPv6: readModel(model.IPv6) },
    problems: (step.problems ?? []) as readonly string[],
    shadowed: (step.shadowed ?? {}) as ModelText,
  };
};

/** `$1-50` in an owner's name stands for fifty of them. */
const readModel = (value: unknown): ModelText =>
  Object.fromEntries(
    Object.entries((value ?? {}) as ModelText).flatMap(([owner, text]) => {
      const [range, from, to] = /\$(\d+)-(\d+)/.exec(owner) ?? [];
      if (range === undefined) return [[owner, text]];
      const numbers = Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i);
      return numbers.map((number) => [owner.replace(range, String(number)), text]);
    }),
  );

/** An object, or objects that are there many times with `$n` for a number. */
const readEntry = (entry: unknown, where: string): readonly KubernetesObject[] => {
  if (typeof entry !== 'object' || entry === null || !('repeat' in entry)) return [readObject(entry, where)];
  const { repeat, objects } = known(entry, REPEAT_WORDS, where) as { repeat: number; objects: readonly unknown[] };
  const template = JSON.stringify(objects);
  return Array.from({ length: repeat }, (_, i) => template.replaceAll('$n', String(i + 1))).flatMap((text) =>
    (JSON.parse(text) as readonly unknown[]).map((object) => readObject(object, where)),
  );
};

const readObject = (value: unknown, where: string): KubernetesObject => {
  const object = value as KubernetesObject;
  if (!OBJECT_KINDS.includes(object.kind)) throw new Error(`${where}: ${object.kind} is no kind of ours`);
  return object;
};

/** `Service shop/web`. */
const readReference = (text: string, where: string): KubernetesObject => {
  const [, kind, namespace, name] = /^(\S+) (?:(\S+)\/)?(\S+)$/.exec(text) ?? [];
  if (name === undefined) throw new Error(`${where}: "${text}" is not like Service shop/web`);
  const metadata = namespace === undefined ? { name } : { namespace, name };
  return readObject({ kind, metadata }, where);
};
