/**
 * Plans changes as bounded iptables-restore inputs, in order. Pure.
 *
 * Within one restore a table is one transaction: first all `:CHAIN` lines (they create or empty), then the rules, then
 * `-X`. The nf_tables tool searches its list of chains for each line it reads, so one huge restore is quadratic (20 s for
 * 5,000 Services × 5 endpoints, 87 % of it string comparison). Pieces of some thousand rules, each with sorted chains and
 * with the chains that its rules lead to, take 1.5 s in all (iptables 1.8.9).
 */
import type { Batch, Change } from '../../dataplane/contract.ts';
import type { Steps } from '../../dataplane/turn.ts';
import { MARK_MASQ, OF_A_SERVICE } from '../xtables/names.ts';
import { chainId, targetOf } from '../xtables/objects.ts';
import { type RestoreInput, type RuleChange, restoring } from '../xtables/restore.ts';
import type { Sysctl } from '../xtables/sysctl.ts';
import { jumpRank } from './base.ts';
import type { DesiredIptablesObject } from './objects.ts';

/** Input of one restore, or kernel settings to write. */
export type IptablesPayload = RestoreInput | { readonly settings: readonly Sysctl[] };

/** Yields batches, and undefined at the end of a step without one. */
type RestoreSteps<B> = Generator<Batch<B> | undefined, void>;

/** Settings come last: the guard against them is among the rules. Settings are never reset. */
export function* plan(
  changes: readonly Change<DesiredIptablesObject>[],
  maxRules: number,
): RestoreSteps<IptablesPayload> {
  const settings: Sysctl[] = [];
  const rules: RuleChange[] = [];
  for (const change of changes) {
    if (change.object.kind === 'sysctl') settings.push(change.object);
    else if (isOfRules(change)) rules.push(change);
    yield;
  }
  yield* planRules(rules, maxRules);
  if (settings.length > 0) yield { payload: { settings }, ids: settings.map(({ id }) => id) };
}

/** Frontends and dispatch chains do not occur here: the dispatch tree has turned them into chains. */
const isOfRules = (change: Change<DesiredIptablesObject>): change is RuleChange => {
  const { kind } = change.object;
  return kind === 'chain' || kind === 'jump' || kind === 'shared-chain';
};

/** Chain of mode ipvs, made by both proxies. */
const OF_IPVS = chainId('nat', 'KUBE-LOAD-BALANCER');

/**
 * On leaving mode ipvs the nat table is written first, other tables and removals after it: the rules of mode ipvs serve
 * until nat translates new connections. A restore commits its tables one after the other, so a connection may come in
 * between.
 */
export function* planRules(changes: readonly RuleChange[], maxRules: number): RestoreSteps<RestoreInput> {
  const isTakenFromIpvs = changes.some(({ op, object }) => op === 'remove' && object.id === OF_IPVS);
  if (!isTakenFromIpvs) return yield* planPieces(changes, maxRules);
  const isFirst = ({ op, object }: RuleChange): boolean => object.table === 'nat' && op !== 'remove';
  yield* planPieces(changes.filter(isFirst), maxRules);
  yield* planPieces(
    changes.filter((change) => !isFirst(change)),
    maxRules,
  );
}

function* planPieces(changes: readonly RuleChange[], maxRules: number): RestoreSteps<RestoreInput> {
  const ofServices: RuleChange[] = [];
  const others: RuleChange[] = [];
  const removed: RuleChange[] = [];
  let total = 0;
  for (const change of changes) {
    total += weight(change);
    (change.op === 'remove' ? removed : isBelowDispatch(change) ? ofServices : others).push(change);
    yield;
  }
  if (total <= maxRules) return yield* batches([changes]);
  yield* batches(pieces(groupsByReference(ofServices), maxRules));
  // a former layout of the tree may lead from one of these chains to another: they change in one restore
  yield* batches([others]);
  yield* batches(pieces(groupsOfRemoval(removed), maxRules));
}

const weight = ({ op, object }: RuleChange): number =>
  op === 'remove' || object.kind !== 'chain' ? 1 : 1 + object.rules.length;

/** Chains of Services, and KUBE-MARK-MASQ that they lead to. None of them refers to a dispatch chain or jump. */
const isBelowDispatch = ({ object }: RuleChange): boolean =>
  object.kind === 'chain' && (OF_A_SERVICE.test(object.name) || object.name === MARK_MASQ);

/** Yields groups, and undefined at the end of a step without one. */
type ChainGroups = Iterable<readonly RuleChange[] | undefined>;

/** Groups chains that refer to each other: in a restore that declares a rule's target the tool need not look it up. */
function* groupsByReference(changes: readonly RuleChange[]): ChainGroups {
  const byId = new Map<string, RuleChange>();
  for (const change of changes) {
    byId.set(change.object.id, change);
    yield;
  }
  for (const root of yield* byRank(changes)) {
    const group: RuleChange[] = [];
    for (const queue = [root]; queue.length > 0; ) {
      const change = queue.pop();
      if (change === undefined || !byId.delete(change.object.id)) continue;
      group.push(change);
      queue.push(...references(change).flatMap((id) => byId.get(id) ?? []));
      yield;
    }
    if (group.length > 0) yield group;
  }
}

/** Sorts by rank, the first of RANKS first, and keeps the order within a rank. */
function* byRank(changes: readonly RuleChange[]): Steps<readonly RuleChange[]> {
  const ranks: RuleChange[][] = RANKS.map(() => []);
  for (const change of changes) {
    ranks[RANKS.indexOf(rank(change))]?.push(change);
    yield;
  }
  return ranks.flat();
}

const references = ({ object }: RuleChange): readonly string[] =>
  object.kind === 'chain'
    ? object.rules.flatMap((text) => targetOf(text) ?? []).map((t) => chainId(object.table, t))
    : [];

/** Name prefixes by rank: chains refer to chains of later ranks only. */
const RANKS = ['KUBE-FW-', 'KUBE-EXT', 'KUBE-SVL', 'KUBE-SVC', 'KUBE-SEP', MARK_MASQ] as const;

const rank = ({ object }: RuleChange): (typeof RANKS)[number] =>
  RANKS.find((name) => object.kind === 'chain' && object.name.startsWith(name)) ?? MARK_MASQ;

function* groupsOfRemoval(changes: readonly RuleChange[]): ChainGroups {
  const others: RuleChange[] = [];
  const ofServices: RuleChange[] = [];
  for (const change of changes) {
    (isBelowDispatch(change) ? ofServices : others).push(change);
    yield;
  }
  if (others.length > 0) yield others;
  for (const change of yield* byRank(ofServices)) yield [change];
}

/** Joins groups to pieces of at most `maxRules` rules. */
function* pieces(groups: ChainGroups, maxRules: number): ChainGroups {
  let piece: RuleChange[] = [];
  let room = maxRules;
  for (const group of groups) {
    yield;
    if (group === undefined) continue;
    const size = group.reduce((sum, change) => sum + weight(change), 0);
    if (size > room && piece.length > 0) {
      yield piece;
      piece = [];
      room = maxRules;
    }
    for (const change of group) piece.push(change);
    room -= size;
  }
  yield piece;
}

/** Makes one restore of each piece. */
function* batches(parts: ChainGroups): RestoreSteps<RestoreInput> {
  for (const changes of parts) {
    yield;
    if (changes === undefined || changes.length === 0) continue;
    const ids = changes.map(({ object }) => object.id);
    yield { payload: yield* restoring(changes, jumpRank), ids };
  }
}
