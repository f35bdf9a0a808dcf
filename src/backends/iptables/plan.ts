/**
 * Changes to iptables-restore input: order and bounds. Pure.
 *
 * Within one restore everything of a table is one transaction: first all `:CHAIN` lines (they create or empty), then the
 * rules, then `-X`. The nf_tables tool searches its list of chains for each line it reads, so one huge restore is
 * quadratic (20 s for 5,000 Services × 5 endpoints, 87 % of it string comparison): pieces of some thousand rules, each
 * with chains sorted and with the chains that its rules lead to, take 1.5 s in all (iptables 1.8.9).
 */
import type { Batch, Change } from '../../dataplane/contract.ts';
import { MARK_MASQ, OF_A_SERVICE } from '../xtables/names.ts';
import { chainId, targetOf } from '../xtables/objects.ts';
import { type RestoreInput, type RuleChange, restoreInput } from '../xtables/restore.ts';
import type { Sysctl } from '../xtables/sysctl.ts';
import { jumpRank } from './base.ts';
import type { Wish } from './objects.ts';

/** Input of the tool, or kernel settings to be written. */
export type Payload = RestoreInput | { readonly settings: readonly Sysctl[] };

/** Settings come last: what guards against them is among the rules. They are never taken back. */
export const plan = (changes: readonly Change<Wish>[], maxRules: number): readonly Batch<Payload>[] => {
  const settings = changes.flatMap(({ object }) => (object.kind === 'sysctl' ? [object] : []));
  const written = settings.length === 0 ? [] : [{ payload: { settings }, ids: settings.map(({ id }) => id) }];
  return [...planRules(changes.filter(isOfRules), maxRules), ...written];
};

/** By now frontends and trunks have become chains. */
const isOfRules = (change: Change<Wish>): change is RuleChange => {
  const { kind } = change.object;
  return kind === 'chain' || kind === 'jump' || kind === 'shared-chain';
};

/** A chain of mode ipvs, ours and kube-proxy's. */
const OF_IPVS = chainId('nat', 'KUBE-LOAD-BALANCER');

/**
 * What mode ipvs left serves until new connections are translated: so that comes first, and only then what goes around it
 * in other tables. Tables are written one after the other, and a connection may come in between.
 */
export const planRules = (changes: readonly RuleChange[], maxRules: number): readonly Batch<RestoreInput>[] => {
  const isTakenFromIpvs = changes.some(({ op, object }) => op === 'remove' && object.id === OF_IPVS);
  if (!isTakenFromIpvs) return planPieces(changes, maxRules);
  const isFirst = ({ op, object }: RuleChange): boolean => object.table === 'nat' && op !== 'remove';
  const rest = changes.filter((change) => !isFirst(change));
  return [...planPieces(changes.filter(isFirst), maxRules), ...planPieces(rest, maxRules)];
};

const planPieces = (changes: readonly RuleChange[], maxRules: number): readonly Batch<RestoreInput>[] => {
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

const weight = ({ op, object }: RuleChange): number =>
  op === 'remove' || object.kind !== 'chain' ? 1 : 1 + object.rules.length;

/** Chains of Services, and the one that all of these lead to: dispatch chains and jumps refer to them, never they to those. */
const isBelowDispatch = ({ object }: RuleChange): boolean =>
  object.kind === 'chain' && (OF_A_SERVICE.test(object.name) || object.name === MARK_MASQ);

/** Puts chains that refer to each other into one group: a restore that declares a rule's target need not look it up. */
const groupByReference = (changes: readonly RuleChange[]): readonly (readonly RuleChange[])[] => {
  const byId = new Map(changes.map((change) => [change.object.id, change]));
  const groups: RuleChange[][] = [];
  const roots = [...changes].sort((a, b) => rank(b) - rank(a));
  for (const root of roots) {
    const group: RuleChange[] = [];
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

const references = ({ object }: RuleChange): readonly string[] =>
  object.kind === 'chain'
    ? object.rules.flatMap((text) => targetOf(text) ?? []).map((t) => chainId(object.table, t))
    : [];

/** Higher ranks refer to lower ones. */
const rank = ({ object }: RuleChange): number => {
  if (object.kind !== 'chain') return 9;
  if (object.name === MARK_MASQ) return -1;
  if (!OF_A_SERVICE.test(object.name)) return 5;
  return ['KUBE-SEP', 'KUBE-SVC', 'KUBE-SVL', 'KUBE-EXT', 'KUBE-FW-'].indexOf(object.name.slice(0, 8));
};

const inOrderOfRemoval = (changes: readonly RuleChange[]): readonly (readonly RuleChange[])[] => {
  const others = changes.filter((change) => !isBelowDispatch(change));
  const ofServices = changes.filter(isBelowDispatch).sort((a, b) => rank(b) - rank(a));
  return [...(others.length > 0 ? [others] : []), ...ofServices.map((change) => [change])];
};

const split = (groups: readonly (readonly RuleChange[])[], maxRules: number): readonly RuleChange[][] => {
  const pieces: RuleChange[][] = [];
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

const batch = (changes: readonly RuleChange[]): Batch<RestoreInput> => ({
  payload: restoreInput(changes, jumpRank),
  ids: changes.map(({ object }) => object.id),
});
