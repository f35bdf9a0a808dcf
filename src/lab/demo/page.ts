/** Output of the demo: numbered sections of plain text, optionally in colour. The content is elsewhere. */
import { styleText } from 'node:util';
import type { DemoClaim } from './findings.ts';

/** Cell of a table; numbers are right-aligned. */
type Cell = string | number;

export interface DemoPage {
  section(title: string): void;
  say(...lines: readonly string[]): void;
  /** Prints an explanation. */
  note(...lines: readonly string[]): void;
  /** Prints output or input of a program; long lines are folded. */
  quote(...lines: readonly string[]): void;
  /** Prints whether a claim held. */
  verdict(claim: DemoClaim): void;
  table(head: readonly string[], rows: readonly (readonly Cell[])[]): void;
}

export interface PageOptions {
  readonly write: (text: string) => void;
  readonly inColour: boolean;
}

const WIDTH = 100;
const INDENT = '   ';
const GAP = '  ';
/** Indentation of a folded line's rest. */
const HANG = '    ';
/** Places to fold a line: after a comma, and before a match or a jump of a rule. */
const BREAK = /(?<=,)|(?= -[mj] )/;

/** Text style; undefined = the terminal's default. */
type Style = Parameters<typeof styleText>[0] | undefined;

/** Pads each column to its widest cell; a column with numbers is right-aligned, its title too. */
const columns = (head: readonly string[], rows: readonly (readonly Cell[])[]): readonly string[] => {
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

const fold = (text: string): readonly string[] => {
  const lines: string[] = [];
  let line = '';
  for (const part of text.split(BREAK)) {
    if (line !== '' && INDENT.length + line.length + part.length > WIDTH) {
      lines.push(line);
      line = HANG + part.trimStart();
    } else {
      line += part;
    }
  }
  return [...lines, line];
};

export const openPage = ({ write, inColour }: PageOptions): DemoPage => {
  let sections = 0;
  const paint = (style: Style, text: string): string =>
    inColour && style !== undefined ? styleText(style, text) : text;
  const lines = (style: Style, texts: readonly string[]): void => {
    for (const text of texts) write(text === '' ? '\n' : `${INDENT}${paint(style, text)}\n`);
  };
  return {
    section: (title) => {
      sections += 1;
      const heading = `── ${sections}. ${title} `;
      write(`\n${paint(['bold', 'cyan'], heading.padEnd(WIDTH, '─'))}\n\n`);
    },
    say: (...texts) => lines(undefined, texts),
    note: (...texts) => lines('gray', texts),
    quote: (...texts) => lines('yellow', texts.flatMap(fold)),
    verdict: ({ isKept, text }) => lines(isKept ? 'green' : ['bold', 'red'], [`${isKept ? '✔' : '✘'} ${text}`]),
    table: (head, rows) => {
      const [first = '', ...rest] = columns(head, rows);
      lines('bold', [first]);
      lines(undefined, rest);
    },
  };
};
