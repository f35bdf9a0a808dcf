/** Prints all rules as one iptables-restore input, section by section. Pure. */
import type { KernelObject, Section } from '../../dataplane/contract.ts';
import { TABLES, type TableName } from './names.ts';
import type { Jump, SharedChain, XtablesChain } from './objects.ts';
import type { JumpRank } from './restore.ts';

/** Chains are declared before rules that name them: a section declares its chains first, and jumps come last. */
export const printRules = (sections: readonly Section<KernelObject>[], rank: JumpRank): string =>
  TABLES.map((table) => printTable(table, sections, rank)).join('');

const printTable = (table: TableName, sections: readonly Section<KernelObject>[], rank: JumpRank): string => {
  const bodies = sections.map(({ title, objects }) => ({ title, chains: objects.filter(isChain).filter(isIn(table)) }));
  const inOthers = sections.flatMap(({ objects }) => objects.filter(isJump).filter(isIn(table)));
  const rulesOf = (one: XtablesChain | SharedChain): readonly string[] =>
    one.kind === 'chain' ? one.rules : inOthers.filter(({ chain }) => chain === one.name).map(({ rule }) => rule);
  const names = new Set(bodies.flatMap(({ chains }) => chains.map(({ name }) => name)));
  const jumps = inOthers.filter(({ chain }) => !names.has(chain));
  const filled = bodies.filter(({ chains }) => chains.length > 0);
  if (filled.length === 0 && jumps.length === 0) return '';
  // the kernel's order: the jump inserted last stands first
  const topToBottom = [...jumps].sort((a, b) => rank(b) - rank(a));
  const lines = [
    `*${table}`,
    ...filled.flatMap(({ title, chains }) => [
      `# ${title.replace(/[^ -~]/g, '?')}`,
      ...chains.map(({ name }) => `:${name} - [0:0]`),
      ...chains.flatMap((one) => rulesOf(one).map((rule) => `-A ${one.name} ${rule}`)),
    ]),
    ...(jumps.length > 0 ? ['# from the built-in chains'] : []),
    ...topToBottom.map(({ chain, rule }) => `-A ${chain} ${rule}`),
    'COMMIT',
  ];
  return `${lines.join('\n')}\n`;
};

const isChain = (object: KernelObject): object is XtablesChain | SharedChain =>
  object.kind === 'chain' || object.kind === 'shared-chain';
const isJump = (object: KernelObject): object is Jump => object.kind === 'jump';
const isIn =
  (table: TableName) =>
  (object: XtablesChain | Jump | SharedChain): boolean =>
    object.table === table;
