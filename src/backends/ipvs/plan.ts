/**
 * Plans changes as bounded batches, in order. Pure.
 *
 * Settings, link and sets come first, then new rules that match the sets, then objects of Services: entries before
 * addresses before virtual servers, so that everything around IPVS is in place when it takes the first packet. Replaced
 * rules come after that: the former ones may be another mode's, which serves until then. Removals come in the opposite
 * order. A batch of netlink messages is bounded, because the event loop waits for it.
 */
import type { Batch, Change } from '../../dataplane/contract.ts';
import type { Jump, XtablesChain } from '../xtables/objects.ts';
import { type RestoreInput, type RuleChange, restoring } from '../xtables/restore.ts';
import { jumpRank } from './base.ts';
import type { DesiredIpvsObject, IpvsObject, NetlinkObject } from './objects.ts';

export type MessageChange = Change<NetlinkObject>;

/** Netlink messages in this order, or input of one iptables-restore. */
export type IpvsPayload =
  | { readonly by: 'netlink'; readonly changes: readonly MessageChange[] }
  | { readonly by: 'iptables'; readonly input: RestoreInput };

/** Messages of one batch: some ten milliseconds of this process and the kernel, without a turn of the event loop. */
const MAX_MESSAGES = 500;

const ADDITIONS: readonly NetlinkObject['kind'][] = ['sysctl', 'timeouts', 'device', 'set'];
const OF_SERVICES: readonly NetlinkObject['kind'][] = ['entry', 'address', 'virtual-server', 'real-server'];
const REMOVALS: readonly NetlinkObject['kind'][] = ['real-server', 'virtual-server', 'address', 'entry'];
const LAST_REMOVALS: readonly NetlinkObject['kind'][] = ['set', 'device', 'timeouts', 'sysctl'];

/** Yields batches, and undefined at the end of a step without one. */
type BatchSteps = Generator<Batch<IpvsPayload> | undefined, void>;
type ByKind = Map<NetlinkObject['kind'], MessageChange[]>;

export function* plan(changes: readonly Change<DesiredIpvsObject>[]): BatchSteps {
  const kept: ByKind = new Map();
  const removed: ByKind = new Map();
  const rules: Record<RuleChange['op'], RuleChange[]> = { add: [], replace: [], remove: [] };
  for (const change of changes) {
    yield;
    if (!isIpvsObject(change)) continue;
    if (isRule(change)) rules[change.op].push(change);
    else if (isMessage(change)) putByKind(change.op === 'remove' ? removed : kept, change);
  }
  yield* netlink(kept, ADDITIONS);
  yield* iptables(rules.add);
  yield* netlink(kept, OF_SERVICES);
  yield* iptables(rules.replace);
  yield* netlink(removed, REMOVALS);
  yield* iptables(rules.remove);
  yield* netlink(removed, LAST_REMOVALS);
}

/** Frontends do not occur here: arrange.ts has taken them apart. */
const isIpvsObject = (change: Change<DesiredIpvsObject>): change is Change<IpvsObject> =>
  change.object.kind !== 'frontend';

const isRule = (change: Change<IpvsObject>): change is Change<XtablesChain | Jump> =>
  change.object.kind === 'chain' || change.object.kind === 'jump';

const isMessage = (change: Change<IpvsObject>): change is MessageChange => !isRule(change);

const putByKind = (byKind: ByKind, change: MessageChange): void => {
  const known = byKind.get(change.object.kind);
  if (known === undefined) byKind.set(change.object.kind, [change]);
  else known.push(change);
};

const idsOf = (changes: readonly { readonly object: { readonly id: string } }[]): readonly string[] =>
  changes.map(({ object }) => object.id);

function* netlink(byKind: ByKind, kinds: readonly NetlinkObject['kind'][]): BatchSteps {
  const changes = kinds.flatMap((kind) => byKind.get(kind) ?? []);
  for (let from = 0; from < changes.length; from += MAX_MESSAGES) {
    const part = changes.slice(from, from + MAX_MESSAGES);
    yield { payload: { by: 'netlink', changes: part }, ids: idsOf(part) };
  }
}

/** Plans rules as one restore: this mode has few. Leftovers of another mode may be many, so the restore is built in steps. */
function* iptables(changes: readonly RuleChange[]): BatchSteps {
  if (changes.length === 0) return;
  yield { payload: { by: 'iptables', input: yield* restoring(changes, jumpRank) }, ids: idsOf(changes) };
}
