/** All objects as one input for iptables-restore, section by section. Pure. */
import type { Section } from '../../dataplane/contract.ts';
import { jumpRank } from './base.ts';
import type { Table } from './names.ts';
import { type Chain, type Jump, targetOf, type Wish } from './objects.ts';

const TABLES: readonly Table[] = ['mangle', 'filter', 'nat'];

/** A rule may only name chains that stand above it: jumps come last, and a section declares its chains before its rules. */
export const print = (sections: readonly Section<Wish>[]): string =>
  TABLES.map((table) => printTable(table, sections)).join('');

const printTable = (table: Table, sections: readonly Section<Wish>[]): string => {
  const bodies = sections.map(({ title, objects }) => ({ title, chains: objects.filter(isChainOf(table)) }));
  const jumps = sections.flatMap(({ objects }) => objects.filter(isJumpOf(table)));
  const filled = bodies.filter(({ chains }) => chains.length > 0);
  if (filled.length === 0 && jumps.length === 0) return '';
  const lines = [
    `*${table}`,
    ...filled.flatMap(({ title, chains }) => [
      `# ${title.replace(/[^ -~]/g, '?')}`,
      ...chains.map(({ name }) => `:${name} - [0:0]`),
      ...chains.flatMap(({ name, rules }) => rules.map((rule) => `-A ${name} ${rule}`)),
    ]),
    ...(jumps.length > 0 ? ['# from the built-in chains'] : []),
    ...topToBottom(jumps).map(({ chain, rule }) => `-A ${chain} ${rule}`),
    'COMMIT',
  ];
  return `${lines.join('\n')}\n`;
};

const isChainOf =
  (table: Table) =>
  (object: Wish): object is Chain =>
    object.kind === 'chain' && object.table === table;

const isJumpOf =
  (table: Table) =>
  (object: Wish): object is Jump =>
    object.kind === 'jump' && object.table === table;

/** As they stand in the kernel: the last one put on top is first. */
const topToBottom = (jumps: readonly Jump[]): readonly Jump[] => [...jumps].sort((a, b) => orderOf(b) - orderOf(a));

const orderOf = ({ table, chain, rule }: Jump): number => jumpRank(table, chain, targetOf(rule) ?? '');
