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
import { type RestoreInput, type RuleChange, restoring } from '../xtables/restore.ts';
import { jumpRank } from './base.ts';
import type { Held, IpvsObject, Wish } from './objects.ts';

export type MessageChange = Change<IpvsObject>;

/** Netlink messages to be sent in this order, or input of the iptables tool. */
export type Payload =
  | { readonly by: 'netlink'; readonly changes: readonly MessageChange[] }
  | { readonly by: 'iptables'; readonly input: RestoreInput };

/** Some ten milliseconds of this process and of the kernel together: they are sent at a stretch. */
const MAX_MESSAGES = 500;

const ADDITIONS: readonly IpvsObject['kind'][] = ['sysctl', 'timeouts', 'device', 'set'];
const OF_SERVICES: readonly IpvsObject['kind'][] = ['entry', 'address', 'virtual-server', 'real-server'];
const REMOVALS: readonly IpvsObject['kind'][] = ['real-server', 'virtual-server', 'address', 'entry'];
const LAST_REMOVALS: readonly IpvsObject['kind'][] = ['set', 'device', 'timeouts', 'sysctl'];

/** Undefined is a step on the way. */
type Planning = Generator<Batch<Payload> | undefined, void>;
type ByKind = Map<IpvsObject['kind'], MessageChange[]>;

export function* plan(changes: readonly Change<Wish>[]): Planning {
  const kept: ByKind = new Map();
  const removed: ByKind = new Map();
  const rules: Record<RuleChange['op'], RuleChange[]> = { add: [], replace: [], remove: [] };
  for (const change of changes) {
    yield;
    if (!isHeld(change)) continue;
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

/** By now frontends have been taken apart. */
const isHeld = (change: Change<Wish>): change is Change<Held> => change.object.kind !== 'frontend';

const isRule = (change: Change<Held>): change is Change<Chain | Jump> =>
  change.object.kind === 'chain' || change.object.kind === 'jump';

const isMessage = (change: Change<Held>): change is MessageChange => !isRule(change);

const putByKind = (byKind: ByKind, change: MessageChange): void => {
  const known = byKind.get(change.object.kind);
  if (known === undefined) byKind.set(change.object.kind, [change]);
  else known.push(change);
};

const idsOf = (changes: readonly { readonly object: { readonly id: string } }[]): readonly string[] =>
  changes.map(({ object }) => object.id);

function* netlink(byKind: ByKind, kinds: readonly IpvsObject['kind'][]): Planning {
  const changes = kinds.flatMap((kind) => byKind.get(kind) ?? []);
  for (let from = 0; from < changes.length; from += MAX_MESSAGES) {
    const part = changes.slice(from, from + MAX_MESSAGES);
    yield { payload: { by: 'netlink', changes: part }, ids: idsOf(part) };
  }
}

/** They are few, so they go in one transaction a table. What another mode left may be many. */
function* iptables(changes: readonly RuleChange[]): Planning {
  if (changes.length === 0) return;
  yield { payload: { by: 'iptables', input: yield* restoring(changes, jumpRank) }, ids: idsOf(changes) };
}
