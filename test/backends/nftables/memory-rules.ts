/** What a rule of nf_tables refers to, and where a kernel lets it be. */
import { decode, decodeList, decodeNest, getBe32, getText } from '../../../src/netlink/attributes.ts';
import { ERRNO } from '../../../src/netlink/error.ts';
import {
  DATA,
  DYNSET,
  EXPRESSION,
  IMMEDIATE,
  LOOKUP,
  VERDICT,
  VERDICT_REGISTER,
} from '../../../src/nftables-json/kernel-expression.ts';
import { CHAIN, HOOK, HOOKS } from '../../../src/nftables-json/messages.ts';
import type { Hook } from '../../../src/nftables-json/schema.ts';
import type { ChainState, TableState } from './memory-tables.ts';

export interface RuleState {
  readonly expressions: Buffer;
  /** Led to by a verdict of the rule itself. */
  readonly chains: readonly string[];
  readonly lookups: readonly { readonly set: string; readonly yields: 'nothing' | 'data' | 'verdict' }[];
  readonly updates: readonly { readonly set: string; readonly hasTimeout: boolean }[];
  readonly names: readonly string[];
}

export const parseRule = (expressions: Buffer): RuleState => {
  const chains: string[] = [];
  const lookups: RuleState['lookups'][number][] = [];
  const updates: RuleState['updates'][number][] = [];
  const names: string[] = [];
  for (const [, content] of decodeList(expressions)) {
    const expression = decode(content);
    const name = getText(expression, EXPRESSION.NAME);
    const data = decodeNest(expression, EXPRESSION.DATA);
    names.push(name);
    if (name === 'lookup') {
      const isVerdict = getBe32(data, LOOKUP.DREG) === VERDICT_REGISTER;
      const yields = !data.has(LOOKUP.DREG) ? 'nothing' : isVerdict ? 'verdict' : 'data';
      lookups.push({ set: getText(data, LOOKUP.SET), yields });
    }
    if (name === 'dynset') updates.push({ set: getText(data, DYNSET.SET), hasTimeout: data.has(DYNSET.TIMEOUT) });
    if (name === 'immediate') {
      const target = getText(
        decode(decodeNest(data, IMMEDIATE.DATA).get(DATA.VERDICT) ?? Buffer.alloc(0)),
        VERDICT.CHAIN,
      );
      if (target !== '') chains.push(target);
    }
  }
  return { expressions, chains, lookups, updates, names };
};

interface Place {
  readonly type: string;
  readonly hook: Hook;
}

const REJECTING: readonly Hook[] = ['input', 'forward', 'output'];

/** Where an expression may stand: that of older kernels, where these differ. */
const isAllowed = (expression: string, { type, hook }: Place): boolean => {
  if (expression === 'nat') return type === 'nat' && (hook === 'prerouting' || hook === 'output');
  if (expression === 'masq') return type === 'nat' && hook === 'postrouting';
  return expression !== 'reject' || REJECTING.includes(hook);
};

const MOST_JUMPS = 16;

/** Follows all ways from the base chains: nothing may lead in circles, or to what has no business there. Gives an errno. */
export const validate = (table: TableState): number => {
  for (const [name, chain] of table.chains) {
    const place = placeOf(chain);
    if (place === undefined) continue;
    const errno = follow(table, name, place, [], new Set());
    if (errno !== 0) return errno;
  }
  return 0;
};

/** By a name of its own: a look at another module's is one of the program's operations where these are counted. */
const HAS_HOOK = CHAIN.HOOK;

const placeOf = ({ attributes }: ChainState): Place | undefined => {
  if (!attributes.has(HAS_HOOK)) return undefined;
  const hook = HOOKS[getBe32(decodeNest(attributes, CHAIN.HOOK), HOOK.NUMBER)] ?? 'prerouting';
  return { type: getText(attributes, CHAIN.TYPE), hook };
};

const follow = (
  table: TableState,
  name: string,
  place: Place,
  path: readonly string[],
  visited: Set<string>,
): number => {
  if (path.includes(name)) return ERRNO.ELOOP;
  if (path.length > MOST_JUMPS) return ERRNO.EMLINK;
  if (visited.has(name)) return 0;
  visited.add(name);
  for (const rule of table.chains.get(name)?.rules ?? []) {
    if (!rule.names.every((expression) => isAllowed(expression, place))) return ERRNO.EOPNOTSUPP;
    const mapped = rule.lookups
      .filter(({ yields }) => yields === 'verdict')
      .flatMap(({ set }) => [...(table.sets.get(set)?.targets.keys() ?? [])]);
    for (const target of new Set([...rule.chains, ...mapped])) {
      const errno = follow(table, target, place, [...path, name], visited);
      if (errno !== 0) return errno;
    }
  }
  return 0;
};
