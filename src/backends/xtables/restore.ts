/** Formats changes as one iptables-restore input. Pure. */
import type { Change } from '../../dataplane/contract.ts';
import { atAStretch, type Steps, sorting } from '../../dataplane/turn.ts';
import { compareText } from '../../model/order.ts';
import { TABLES, type TableName } from './names.ts';
import type { Jump, SharedChain, XtablesChain } from './objects.ts';

export type RuleChange = Change<XtablesChain | Jump | SharedChain>;

/** Input of one iptables-restore --noflush. */
export interface RestoreInput {
  readonly text: string;
  /** Number of rules in it. A chain without rules counts as none. */
  readonly rules: number;
}

/** Rank of a jump: the higher one is inserted later, on top. */
export type JumpRank = (jump: Jump) => number;

/**
 * Within a table chains are declared (made or emptied), then filled, then jumped to, and removals come last. A shared chain
 * is made with -N and not declared: if the kubelet has made it meanwhile, -N is refused, where a declaration would empty it.
 */
export const restoreInput = (changes: readonly RuleChange[], rank: JumpRank): RestoreInput =>
  atAStretch(restoring(changes, rank));

/** Steps of `restoreInput`, between which the event loop can run. */
export function* restoring(changes: readonly RuleChange[], rank: JumpRank): Steps<RestoreInput> {
  const byTable: Record<TableName, RuleChange[]> = { mangle: [], filter: [], nat: [] };
  let rules = 0;
  for (const change of changes) {
    const { op, object } = change;
    byTable[object.table].push(change);
    if (op !== 'remove' && object.kind === 'chain') rules += object.rules.length;
    yield;
  }
  const text: string[] = [];
  for (const table of TABLES) yield* textInPieces(tableLines(table, byTable[table], rank), text);
  return { text: text.join(''), rules };
}

/** Lines joined in one step. */
const PIECE = 1_000;

function* textInPieces(lines: Iterable<string | undefined>, text: string[]): Steps<void> {
  let piece: string[] = [];
  for (const line of lines) {
    if (line === undefined) yield;
    else piece.push(line, '\n');
    if (piece.length < PIECE) continue;
    text.push(piece.join(''));
    piece = [];
  }
  text.push(piece.join(''));
}

/** Yields lines, and undefined at the end of a step without one. */
function* tableLines(
  table: TableName,
  changes: readonly RuleChange[],
  rank: JumpRank,
): Generator<string | undefined, void> {
  if (changes.length === 0) return;
  const chains = yield* sorting(
    changes.flatMap((change) => (change.object.kind === 'chain' ? [{ op: change.op, chain: change.object }] : [])),
    (a, b) => compareText(a.chain.name, b.chain.name),
  );
  yield `*${table}`;
  for (const { chain } of chains) {
    yield `:${chain.name} - [0:0]`;
    yield undefined;
  }
  for (const { op, object } of changes) if (object.kind === 'shared-chain' && op === 'add') yield `-N ${object.name}`;
  for (const { op, chain } of chains) {
    if (op !== 'remove') for (const rule of chain.rules) yield `-A ${chain.name} ${rule}`;
    yield undefined;
  }
  yield* jumpLines(changes, rank);
  for (const { op, chain } of chains) {
    if (op === 'remove') yield `-X ${chain.name}`;
    yield undefined;
  }
  yield 'COMMIT';
}

/** Insertions, in the order of their rank, come before deletions: no packet ever finds the jump missing. */
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
