/** The demo's way of talking: numbered sections of plain text on stdout, in colour on a terminal. Knows no content. */
import { styleText } from 'node:util';

/** A cell of a table; numbers stand to the right. */
export type Cell = string | number;

export interface Page {
  section(title: string): void;
  say(...lines: readonly string[]): void;
  /** Said in passing: what something means. */
  note(...lines: readonly string[]): void;
  /** What a program wrote, or what one would type. */
  quote(...lines: readonly string[]): void;
  /** A claim that was just tried: kept or not. */
  verdict(isKept: boolean, text: string): void;
  table(head: readonly string[], rows: readonly (readonly Cell[])[]): void;
}

const INDENT = '   ';
const GAP = '  ';
const RULE_WIDTH = 100;

/** Pads each column to its widest cell. A column's first number decides where its cells stand. */
export const columns = (head: readonly string[], rows: readonly (readonly Cell[])[]): readonly string[] => {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => String(row[i] ?? '').length)));
  const isNumeric = head.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const line = (row: readonly Cell[]): string =>
    widths
      .map((width, i) => {
        const text = String(row[i] ?? '');
        return isNumeric[i] ? text.padStart(width) : text.padEnd(width);
      })
      .join(GAP)
      .trimEnd();
  return [line(head), ...rows.map(line)];
};

export const openPage = (write: (text: string) => void): Page => {
  let sections = 0;
  const lines = (style: Parameters<typeof styleText>[0], texts: readonly string[]): void => {
    for (const text of texts) write(text === '' ? '\n' : `${INDENT}${styleText(style, text)}\n`);
  };
  return {
    section: (title) => {
      sections += 1;
      const heading = `── ${sections}. ${title} `;
      write(`\n${styleText(['bold', 'cyan'], heading.padEnd(RULE_WIDTH, '─'))}\n\n`);
    },
    say: (...texts) => lines('reset', texts),
    note: (...texts) => lines('gray', texts),
    quote: (...texts) => lines('yellow', texts),
    verdict: (isKept, text) => lines(isKept ? 'green' : ['bold', 'red'], [`${isKept ? '✔' : '✘'} ${text}`]),
    table: (head, rows) => {
      const [first = '', ...rest] = columns(head, rows);
      lines('bold', [first]);
      lines('reset', rest);
    },
  };
};
