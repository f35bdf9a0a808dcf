/**
 * Changes to iptables-restore input: order and bounds. Pure.
 *
 * Within one restore everything of a table is one transaction: first all `:CHAIN` lines (they create or empty), then the
 * rules, then `-X`. The nf_tables tool searches its list of chains for each line it reads, so one huge restore is
 * quadratic (20 s for 5,000 Services × 5 endpoints, 87 % of it string comparison): pieces of some thousand rules, each
 * with chains sorted and with the chains that its rules lead to, take 1.5 s in all (iptables 1.8.9).
 */
import type { Batch, Change } from '../../dataplane/contract.ts';
import { compareText } from '../../model/endpoint.ts';
import { jumpRank } from './base.ts';
import { MARK_MASQ, type Table } from './names.ts';
import { type Chain, chainId, type Jump, targetOf } from './objects.ts';

/** Input for one iptables-restore --noflush. */
export interface RestoreInput {
  readonly text: string;
  /** How many rules it writes; chains without rules count as none. */
  readonly rules: number;
}

type KernelChange = Change<Chain | Jump>;

const TABLES: readonly Table[] = ['mangle', 'filter', 'nat'];
/** Chains of one Service. A tree's chain is none, whose name has a prefix or `by-` where these have their hash. */
const OF_A_SERVICE = /^KUBE-(?:SVC|SVL|FW|EXT|SEP)-[A-Z2-7]{16}$/;

export const plan = (changes: readonly KernelChange[], maxRules: number): readonly Batch<RestoreInput>[] => {
  const total = changes.reduce((sum, change) => sum + weight(change), 0);
  if (total <= maxRules) return changes.length === 0 ? [] : [batch(changes)];
  const kept = changes.filter(({ op }) => op !== 'remove');
  const removed = changes.filter(({ op }) => op === 'remove');
  const ofServices = kept.filter(isBelowDispatch);
  const others = kept.filter((change) => !isBelowDispatch(change));
  return [
    ...split(groupByReference(ofServices), maxRules).map(batch),
    // a predecessor's tree may lead from one of these to another: they change together
    ...(others.length > 0 ? [batch(others)] : []),
    ...split(inOrderOfRemoval(removed), maxRules).map(batch),
  ];
};

const weight = ({ op, object }: KernelChange): number =>
  op === 'remove' || object.kind === 'jump' ? 1 : 1 + object.rules.length;

/** Chains of Services, and the one that all of these lead to: dispatch chains and jumps refer to them, never they to those. */
const isBelowDispatch = ({ object }: KernelChange): boolean =>
  object.kind === 'chain' && (OF_A_SERVICE.test(object.name) || object.name === MARK_MASQ);

/** Puts chains that refer to each other into one group: a restore that declares a rule's target need not look it up. */
const groupByReference = (changes: readonly KernelChange[]): readonly (readonly KernelChange[])[] => {
  const byId = new Map(changes.map((change) => [change.object.id, change]));
  const groups: KernelChange[][] = [];
  const roots = [...changes].sort((a, b) => rank(b) - rank(a));
  for (const root of roots) {
    const group: KernelChange[] = [];
    for (const queue = [root]; queue.length > 0; ) {
      const change = queue.pop();
      if (change === undefined || !byId.delete(change.object.id)) continue;
      group.push(change);
      queue.push(...references(change).flatMap((id) => byId.get(id) ?? []));
    }
    if (group.length > 0) groups.push(group);
  }
  return groups;
};

const references = ({ object }: KernelChange): readonly string[] =>
  object.kind === 'jump'
    ? []
    : object.rules.flatMap((text) => targetOf(text) ?? []).map((t) => chainId(object.table, t));

/** Higher ranks refer to lower ones. */
const rank = ({ object }: KernelChange): number => {
  if (object.kind === 'jump') return 9;
  if (object.name === MARK_MASQ) return -1;
  if (!OF_A_SERVICE.test(object.name)) return 5;
  return ['KUBE-SEP', 'KUBE-SVC', 'KUBE-SVL', 'KUBE-EXT', 'KUBE-FW-'].indexOf(object.name.slice(0, 8));
};

const inOrderOfRemoval = (changes: readonly KernelChange[]): readonly (readonly KernelChange[])[] => {
  const others = changes.filter((change) => !isBelowDispatch(change));
  const ofServices = changes.filter(isBelowDispatch).sort((a, b) => rank(b) - rank(a));
  return [...(others.length > 0 ? [others] : []), ...ofServices.map((change) => [change])];
};

const split = (groups: readonly (readonly KernelChange[])[], maxRules: number): readonly KernelChange[][] => {
  const pieces: KernelChange[][] = [];
  let room = 0;
  for (const group of groups) {
    const size = group.reduce((sum, change) => sum + weight(change), 0);
    if (size > room || pieces.length === 0) {
      pieces.push([]);
      room = maxRules;
    }
    pieces.at(-1)?.push(...group);
    room -= size;
  }
  return pieces;
};

const batch = (changes: readonly KernelChange[]): Batch<RestoreInput> => {
  const written = changes.filter(({ op, object }) => op !== 'remove' && object.kind === 'chain');
  const rules = written.reduce((sum, { object }) => sum + (object.kind === 'chain' ? object.rules.length : 0), 0);
  const tables = TABLES.map((table) =>
    tableText(
      table,
      changes.filter(({ object }) => object.table === table),
    ),
  );
  return { payload: { text: tables.join(''), rules }, ids: changes.map(({ object }) => object.id) };
};

const tableText = (table: Table, changes: readonly KernelChange[]): string => {
  if (changes.length === 0) return '';
  const chains = changes
    .flatMap((change) => (change.object.kind === 'chain' ? [{ op: change.op, chain: change.object }] : []))
    .sort((a, b) => compareText(a.chain.name, b.chain.name));
  const lines = [
    `*${table}`,
    ...chains.map(({ chain }) => `:${chain.name} - [0:0]`),
    ...chains.flatMap(({ op, chain }) => (op === 'remove' ? [] : chain.rules.map((r) => `-A ${chain.name} ${r}`))),
    ...jumpLines(changes),
    ...chains.filter(({ op }) => op === 'remove').map(({ chain }) => `-X ${chain.name}`),
    'COMMIT',
  ];
  return `${lines.join('\n')}\n`;
};

/** New jumps go on top, in kube-proxy's order, before old ones are taken away: no packet ever finds none. */
const jumpLines = (changes: readonly KernelChange[]): readonly string[] => {
  const jumps = changes.flatMap((change) => {
    if (change.object.kind !== 'jump') return [];
    const previous = change.op === 'replace' && change.previous.kind === 'jump' ? change.previous : undefined;
    return [{ op: change.op, jump: change.object, previous }];
  });
  const added = jumps
    .filter(({ op }) => op !== 'remove')
    .sort((a, b) => orderOf(a.jump) - orderOf(b.jump))
    .map(({ jump }) => `-I ${jump.chain} ${jump.rule}`);
  const removed = jumps.flatMap(({ op, jump, previous }) => {
    const old = op === 'remove' ? jump : previous;
    return old === undefined ? [] : [`-D ${old.chain} ${old.listed}`];
  });
  return [...added, ...removed];
};

const orderOf = ({ table, chain, rule }: Jump): number => jumpRank(table, chain, targetOf(rule) ?? '');
