/** Changes to one iptables-restore input. Pure. */
import type { Change } from '../../dataplane/contract.ts';
import { compareText } from '../../model/endpoint.ts';
import { TABLES, type Table } from './names.ts';
import type { Chain, Jump, SharedChain } from './objects.ts';

export type RuleChange = Change<Chain | Jump | SharedChain>;

/** Input for one iptables-restore --noflush. */
export interface RestoreInput {
  readonly text: string;
  /** How many rules it writes; chains without rules count as none. */
  readonly rules: number;
}

/** Jumps with a higher rank are put on top later. */
export type JumpRank = (jump: Jump) => number;

/**
 * Within a table: chains are declared (made or emptied), filled, jumped to; then what goes is removed. A shared chain is
 * made and not declared: if others made it in the meantime that is refused, where a declaration would empty it.
 */
export const restoreInput = (changes: readonly RuleChange[], rank: JumpRank): RestoreInput => {
  const written = changes.filter(({ op, object }) => op !== 'remove' && object.kind === 'chain');
  const rules = written.reduce((sum, { object }) => sum + (object.kind === 'chain' ? object.rules.length : 0), 0);
  const tables = TABLES.map((table) =>
    tableText(
      table,
      changes.filter(({ object }) => object.table === table),
      rank,
    ),
  );
  return { text: tables.join(''), rules };
};

const tableText = (table: Table, changes: readonly RuleChange[], rank: JumpRank): string => {
  if (changes.length === 0) return '';
  const chains = changes
    .flatMap((change) => (change.object.kind === 'chain' ? [{ op: change.op, chain: change.object }] : []))
    .sort((a, b) => compareText(a.chain.name, b.chain.name));
  const lines = [
    `*${table}`,
    ...chains.map(({ chain }) => `:${chain.name} - [0:0]`),
    ...changes.flatMap(({ op, object }) =>
      object.kind === 'shared-chain' && op === 'add' ? [`-N ${object.name}`] : [],
    ),
    ...chains.flatMap(({ op, chain }) => (op === 'remove' ? [] : chain.rules.map((r) => `-A ${chain.name} ${r}`))),
    ...jumpLines(changes, rank),
    ...chains.filter(({ op }) => op === 'remove').map(({ chain }) => `-X ${chain.name}`),
    'COMMIT',
  ];
  return `${lines.join('\n')}\n`;
};

/** New jumps go on top, in the order of their rank, before old ones are taken away: no packet ever finds none. */
const jumpLines = (changes: readonly RuleChange[], rank: JumpRank): readonly string[] => {
  const jumps = changes.flatMap((change) => {
    if (change.object.kind !== 'jump') return [];
    const previous = change.op === 'replace' && change.previous.kind === 'jump' ? change.previous : undefined;
    return [{ op: change.op, jump: change.object, previous }];
  });
  const added = jumps
    .filter(({ op }) => op !== 'remove')
    .sort((a, b) => rank(a.jump) - rank(b.jump))
    .map(({ jump }) => `-I ${jump.chain} ${jump.rule}`);
  const removed = jumps.flatMap(({ op, jump, previous }) => {
    const old = op === 'remove' ? jump : previous;
    return old === undefined ? [] : [`-D ${old.chain} ${old.listed}`];
  });
  return [...added, ...removed];
};
