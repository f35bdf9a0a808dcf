/** Judges imports by a table of rules. Pure: modules in, complaints out. */
import type { Import, Module } from './source.ts';

/** One line of the table. The first line whose `files` fit a file is that file's rule. */
export interface Rule {
  /** `a/*` = the files of that folder, `a/**` = all below it, otherwise one file. These may import each other. */
  readonly files: string;
  /** What else of ours they may import. */
  readonly may: readonly string[];
  /** The packages and built-ins that they may import; all when it is not said. */
  readonly packages?: readonly string[];
}

/** A package that is for some rooms only. */
export interface Confined {
  readonly package: string;
  readonly to: readonly string[];
}

/** Files that must not reach a driver, not even through others. Types drive nothing. */
export interface Pure {
  readonly files: readonly string[];
  readonly never: readonly string[];
  /** Packages and built-ins that do no input or output; `module#name` admits one function of a module. */
  readonly packages: readonly string[];
}

export interface Table {
  readonly rules: readonly Rule[];
  readonly confined: readonly Confined[];
  readonly pure: Pure;
}

export const fits = (pattern: string, path: string): boolean => {
  const text = pattern
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('**', '\0')
    .replaceAll('*', '[^/]*')
    .replaceAll('\0', '.*');
  return new RegExp(`^${text}$`).test(path);
};

const fitsAny = (patterns: readonly string[], path: string): boolean => patterns.some((pattern) => fits(pattern, path));

/** Every breach of the table, as a sentence; none when all is well. */
export const check = (modules: readonly Module[], table: Table): readonly string[] => [
  ...modules.flatMap((module) => [
    ...(module.hasDefaultExport ? [`${module.path} has a default export`] : []),
    ...(module.isBarrel ? [`${module.path} only re-exports`] : []),
    ...ofModule(module, modules, table),
  ]),
  ...ofPure(modules, table.pure),
  ...cycles(modules).map((path) => `cycle: ${path.join(' → ')}`),
];

const ofModule = ({ path, imports }: Module, modules: readonly Module[], table: Table): readonly string[] => {
  const rule = table.rules.find(({ files }) => fits(files, path));
  if (rule === undefined) return [`${path} is in no room`];
  return imports.flatMap(({ target, isOurs }) => {
    if (!isOurs) return mayUse(path, target, rule, table.confined) ? [] : [`${path} must not use ${target}`];
    if (target.startsWith('../')) return target.endsWith('.json') ? [] : [`${path} leaves the source: ${target}`];
    if (!modules.some((other) => other.path === target)) return [`${path} imports ${target}, which is not there`];
    return fitsAny([rule.files, ...rule.may], target) ? [] : [`${path} must not import ${target}`];
  });
};

const mayUse = (path: string, name: string, rule: Rule, confined: readonly Confined[]): boolean =>
  rule.packages?.includes(name) !== false &&
  confined.every(({ package: of, to }) => !(name === of || name.startsWith(`${of}/`)) || fitsAny(to, path));

const ofPure = (modules: readonly Module[], { files, never, packages }: Pure): readonly string[] => {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const isPureName = ({ target, names }: Import): boolean =>
    packages.includes(target) || (names.length > 0 && names.every((name) => packages.includes(`${target}#${name}`)));
  return modules
    .filter(({ path }) => fitsAny(files, path))
    .flatMap((root) => {
      const reached = reach(root, byPath);
      return reached.flatMap(({ path, imports }) => [
        ...(fitsAny(never, path) ? [`${root.path} reaches ${path}`] : []),
        ...imports
          .filter((one) => !one.isOurs && !one.isOfTypes && !isPureName(one))
          .map(({ target }) => `${root.path} reaches ${target}, by ${path}`),
      ]);
    });
};

/** A module and all that it imports, directly or through others, to run. */
const reach = (root: Module, byPath: ReadonlyMap<string, Module>): readonly Module[] => {
  const reached = new Set([root]);
  for (const { imports } of reached) {
    for (const { target, isOfTypes } of imports) {
      const module = isOfTypes ? undefined : byPath.get(target);
      if (module !== undefined) reached.add(module);
    }
  }
  return [...reached];
};

/** One path for each import that leads back to a file on the way to it. */
const cycles = (modules: readonly Module[]): readonly (readonly string[])[] => {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const finished = new Set<string>();
  const found: (readonly string[])[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    const at = way.indexOf(path);
    if (at !== -1) found.push([...way.slice(at), path]);
    if (at !== -1 || finished.has(path)) return;
    for (const { target } of byPath.get(path)?.imports ?? []) visit(target, [...way, path]);
    finished.add(path);
  };
  for (const { path } of modules) visit(path, []);
  return found;
};
