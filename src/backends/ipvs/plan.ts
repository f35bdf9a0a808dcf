/**
 * Changes to batches: order and bounds. Pure.
 *
 * Settings, link and sets come first, then the rules that look into them, then what Services want: entries before
 * addresses before virtual servers, so that by the time IPVS takes a packet everything around it is in place. Rules that
 * take the place of others come after that: those may be another mode's, which serves until then. What goes, goes in the
 * opposite order. A batch of netlink messages is bounded, lest a long one hold up the process.
 */
import type { Batch, Change } from '../../dataplane/contract.ts';
import type { Chain, Jump } from '../xtables/objects.ts';
import { type RestoreInput, type RuleChange, restoreInput } from '../xtables/restore.ts';
import { jumpRank } from './base.ts';
import type { Held, IpvsObject, Wish } from './objects.ts';

export type MessageChange = Change<IpvsObject>;

/** Netlink messages to be sent in this order, or input of the iptables tool. */
export type Payload =
  | { readonly by: 'netlink'; readonly changes: readonly MessageChange[] }
  | { readonly by: 'iptables'; readonly input: RestoreInput };

/** Some milliseconds of the kernel's time. */
const MAX_MESSAGES = 2_000;

const ADDITIONS: readonly IpvsObject['kind'][] = ['sysctl', 'timeouts', 'device', 'set'];
const OF_SERVICES: readonly IpvsObject['kind'][] = ['entry', 'address', 'virtual-server', 'real-server'];
const REMOVALS: readonly IpvsObject['kind'][] = ['real-server', 'virtual-server', 'address', 'entry'];
const LAST_REMOVALS: readonly IpvsObject['kind'][] = ['set', 'device', 'timeouts', 'sysctl'];

export const plan = (changes: readonly Change<Wish>[]): readonly Batch<Payload>[] => {
  const held = changes.filter(isHeld);
  const rules = held.filter(isRule);
  const messages = held.filter(isMessage);
  const kept = <C extends { readonly op: string }>(list: readonly C[]): readonly C[] =>
    list.filter(({ op }) => op !== 'remove');
  const removed = <C extends { readonly op: string }>(list: readonly C[]): readonly C[] =>
    list.filter(({ op }) => op === 'remove');
  return [
    ...netlink(inOrder(kept(messages), ADDITIONS)),
    ...iptables(rules.filter(({ op }) => op === 'add')),
    ...netlink(inOrder(kept(messages), OF_SERVICES)),
    ...iptables(rules.filter(({ op }) => op === 'replace')),
    ...netlink(inOrder(removed(messages), REMOVALS)),
    ...iptables(removed(rules)),
    ...netlink(inOrder(removed(messages), LAST_REMOVALS)),
  ];
};

/** By now frontends have been taken apart. */
const isHeld = (change: Change<Wish>): change is Change<Held> => change.object.kind !== 'frontend';

const isRule = (change: Change<Held>): change is Change<Chain | Jump> =>
  change.object.kind === 'chain' || change.object.kind === 'jump';

const isMessage = (change: Change<Held>): change is MessageChange => !isRule(change);

const inOrder = (changes: readonly MessageChange[], kinds: readonly IpvsObject['kind'][]): readonly MessageChange[] =>
  kinds.flatMap((kind) => changes.filter(({ object }) => object.kind === kind));

const idsOf = (changes: readonly { readonly object: { readonly id: string } }[]): readonly string[] =>
  changes.map(({ object }) => object.id);

const netlink = (changes: readonly MessageChange[]): readonly Batch<Payload>[] => {
  const batches: Batch<Payload>[] = [];
  for (let from = 0; from < changes.length; from += MAX_MESSAGES) {
    const part = changes.slice(from, from + MAX_MESSAGES);
    batches.push({ payload: { by: 'netlink', changes: part }, ids: idsOf(part) });
  }
  return batches;
};

/** They are few, so they go in one transaction a table. */
const iptables = (changes: readonly RuleChange[]): readonly Batch<Payload>[] =>
  changes.length === 0
    ? []
    : [{ payload: { by: 'iptables', input: restoreInput(changes, jumpRank) }, ids: idsOf(changes) }];
