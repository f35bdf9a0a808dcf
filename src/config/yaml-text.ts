/**
 * YAML (and so JSON) text to data, with the place of every key and the keys that are given twice.
 *
 * Knows no configuration; the parser is loaded only when there is a file to parse.
 */
import type { LineCounter } from 'yaml';

/** Says where a key stands, as the beginning of a message: `file:line:column: `. */
export type Locate = (path: string) => string;

export interface YamlText {
  readonly data: unknown;
  readonly locate: Locate;
  /** Paths of keys that are in one mapping more than once. */
  readonly doubled: readonly string[];
}

/** The dotted path of a key; the document itself is the empty path. */
export const joinPath = (parent: string, key: string): string => (parent === '' ? key : `${parent}.${key}`);

const place = (file: string, lines: LineCounter, offset: number | undefined): string => {
  if (offset === undefined) return `${file}: `;
  const { line, col } = lines.linePos(offset);
  return `${file}:${line}:${col}: `;
};

/** Gives the first problem when the text is no YAML; those after it are mostly its echoes. `file` is for messages. */
export const parseYaml = async (text: string, file: string): Promise<YamlText | { readonly problem: string }> => {
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  // Doubled keys are left to us: the parser would not say which group they are in. Kubernetes' own parser merges `<<`.
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false, merge: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const message = error.code === 'MULTIPLE_DOCS' ? 'a second document begins here' : error.message;
    return { problem: `${place(file, lines, error.pos[0])}${message}` };
  }
  const offsets = new Map<string, number | undefined>();
  const doubled: string[] = [];
  const visit = (node: unknown, parent: string): void => {
    if (isSeq(node)) for (const [i, item] of node.items.entries()) visit(item, `${parent}[${i}]`);
    if (!isMap(node)) return;
    for (const { key, value } of node.items) {
      const path = joinPath(parent, String(isScalar(key) ? key.value : key));
      if (offsets.has(path)) doubled.push(path);
      offsets.set(path, isScalar(key) ? key.range?.[0] : undefined);
      visit(value, path);
    }
  };
  visit(document.contents, '');
  try {
    return { data: document.toJS(), locate: (path) => place(file, lines, offsets.get(path)), doubled };
  } catch (failure) {
    return { problem: `${file}: ${failure instanceof Error ? failure.message : String(failure)}` };
  }
};
