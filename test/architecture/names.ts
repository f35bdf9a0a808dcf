/** Names in a source file that are a word of their own: as a text, or as a property. Comments do not count. */
import { isNode, type Node, nodesOf, parseText } from './source.ts';

/** The word that a node is; undefined for other nodes. */
const wordOf = (node: unknown): string | undefined => {
  if (!isNode(node)) return undefined;
  if (node.type === 'Literal') return typeof node.value === 'string' ? node.value : undefined;
  if (node.type === 'TSLiteralType') return wordOf(node.literal);
  if (node.type !== 'TemplateLiteral' || !Array.isArray(node.quasis) || node.quasis.length !== 1) return undefined;
  const [only] = node.quasis as readonly { readonly value: { readonly cooked: string } }[];
  return only?.value.cooked;
};

/** `a.name`, `{ name: 1 }`, `{ name }` taken from something, `interface { name: … }`. */
const propertyOf = ({ type, key, property, computed }: Node): string | undefined => {
  const name = type === 'MemberExpression' ? property : type === 'ImportSpecifier' ? undefined : key;
  return computed !== true && isNode(name) && typeof name.name === 'string' ? name.name : undefined;
};

const amongst = (found: readonly (string | undefined)[], names: readonly string[]): readonly string[] =>
  found.flatMap((word) => (word !== undefined && names.includes(word) ? [word] : []));

/** Each of the names as often as it stands there. */
export const namesIn = (text: string, names: readonly string[]): readonly string[] =>
  amongst(
    [...nodesOf(parseText(text))].flatMap((node) => [
      node.type === 'TSLiteralType' ? undefined : wordOf(node),
      propertyOf(node),
    ]),
    names,
  );

const isAsked = ({ type, callee }: Node): boolean =>
  type === 'CallExpression' &&
  isNode(callee) &&
  callee.type === 'MemberExpression' &&
  propertyOf(callee) === 'includes';

/** The names that something is compared with: `=== name`, `case name`, `[name].includes(…)`. */
export const decidedByName = (text: string, names: readonly string[]): readonly string[] =>
  amongst(
    [...nodesOf(parseText(text))].flatMap((node) => {
      if (node.type === 'BinaryExpression') return [wordOf(node.left), wordOf(node.right)];
      if (node.type === 'SwitchCase') return [wordOf(node.test)];
      return isAsked(node) ? [...nodesOf(node)].map(wordOf) : [];
    }),
    names,
  );
