/** What a source file imports and exports, read by a real parser: type imports count as much as others. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, relative } from 'node:path';
import { parseAst } from 'vitest/node';

export interface Import {
  /** A file of ours, relative to the root; or a package; or a built-in with its `node:`. */
  readonly target: string;
  readonly isOurs: boolean;
  /** What is taken from it; empty when that is not said (a dynamic import, a namespace). */
  readonly names: readonly string[];
  /** Nothing of it is left when the program runs. */
  readonly isOfTypes: boolean;
}

export interface Module {
  /** Relative to the root, with forward slashes. */
  readonly path: string;
  readonly imports: readonly Import[];
  readonly hasDefaultExport: boolean;
  /** It re-exports, and does nothing else. */
  readonly isBarrel: boolean;
}

/** A node of the syntax tree (ESTree with TypeScript's additions), as far as this file looks at it. */
export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

export const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

/** Every node of a tree, the root first. */
export function* nodesOf(value: unknown): Generator<Node> {
  if (isNode(value)) yield value;
  if (typeof value !== 'object' || value === null) return;
  for (const child of Array.isArray(value) ? value : Object.values(value)) yield* nodesOf(child);
}

/** The module that a node names; undefined for a node that imports nothing. */
const specifierOf = (node: Node, path: string): string | undefined => {
  const isExport = node.type === 'ExportNamedDeclaration' || node.type === 'ExportAllDeclaration';
  const imports = ['ImportDeclaration', 'ImportExpression', 'TSImportType'].includes(node.type);
  const source = node.type === 'TSExternalModuleReference' ? node.expression : node.source;
  if (node.type === 'CallExpression' && isNode(node.callee) && node.callee.name === 'require') {
    throw new Error(`${path}: require is not for modules`);
  }
  if (!(imports || node.type === 'TSExternalModuleReference' || (isExport && isNode(source)))) return undefined;
  if (!isNode(source) || typeof source.value !== 'string') throw new Error(`${path}: imports what cannot be known`);
  return source.value;
};

/** As the compiler's verbatimModuleSyntax has it: `import { type X }` still runs the module, `import type` does not. */
const isOfTypes = ({ type, importKind, exportKind }: Node): boolean =>
  type === 'TSImportType' || importKind === 'type' || exportKind === 'type';

const namesIn = (node: Node): readonly string[] =>
  [...nodesOf(node.specifiers)].flatMap(({ type, imported, local }) => {
    const name = type === 'ImportSpecifier' ? imported : type === 'ExportSpecifier' ? local : undefined;
    return isNode(name) && typeof name.name === 'string' ? [name.name] : [];
  });

/** The syntax tree of a file. */
export const parseText = (text: string): unknown => parseAst(text, { lang: 'ts' });

/** Reads one file. Throws when it cannot be parsed, or imports a module whose name is computed. */
export const parseModule = (path: string, text: string): Module => {
  const program = parseText(text);
  const body = isNode(program) && Array.isArray(program.body) ? program.body.filter(isNode) : [];
  const imports = [...nodesOf(program)].flatMap((node) => {
    const specifier = specifierOf(node, path);
    if (specifier === undefined) return [];
    const isOurs = specifier.startsWith('.');
    const target = isOurs ? posix.join(posix.dirname(path), specifier) : specifier;
    return [{ target, isOurs, names: namesIn(node), isOfTypes: isOfTypes(node) }];
  });
  return {
    path,
    imports,
    hasDefaultExport: body.some(
      (statement) => statement.type === 'ExportDefaultDeclaration' || exportsDefault(statement),
    ),
    isBarrel: body.some(isReExport) && body.every((statement) => isReExport(statement) || isImport(statement)),
  };
};

const exportsDefault = ({ type, specifiers }: Node): boolean =>
  type === 'ExportNamedDeclaration' &&
  [...nodesOf(specifiers)].some(({ exported }) => isNode(exported) && exported.name === 'default');

const isImport = ({ type }: Node): boolean => type === 'ImportDeclaration';

/** `export … from`, and `export { name }` of what was imported: the latter declares nothing either. */
const isReExport = ({ type, declaration }: Node): boolean =>
  type === 'ExportAllDeclaration' || (type === 'ExportNamedDeclaration' && !isNode(declaration));

/** Every TypeScript file below a folder. */
export const readModules = (root: string): readonly Module[] =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => parseModule(relative(root, file).replaceAll('\\', '/'), readFileSync(file, 'utf8')));
