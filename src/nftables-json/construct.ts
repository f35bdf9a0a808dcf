/** Constructors of statements and expressions, so that rules read as in nft's own language. */
import type {
  BitOperator,
  Concat,
  Conntrack,
  Dnat,
  ElementKey,
  Expression,
  Family,
  Fib,
  Foreign,
  Literal,
  Mangle,
  MapLookup,
  MapUpdate,
  Masquerade,
  Match,
  MatchOperator,
  Meta,
  Numgen,
  Payload,
  Prefix,
  Reject,
  SetReference,
  Verdict,
  VerdictMap,
} from './schema.ts';

type IpFamily = Exclude<Family, 'inet'>;

export const payload = (protocol: 'ip' | 'ip6' | 'th', field: Payload['payload']['field']): Payload => ({
  payload: { protocol, field },
});

export const meta = (key: Meta['meta']['key']): Meta => ({ meta: { key } });

export const ct = (key: Conntrack['ct']['key'], dir?: 'original' | 'reply'): Conntrack => ({
  ct: dir === undefined ? { key } : { key, dir },
});

export const fibType = (of: 'saddr' | 'daddr'): Fib => ({ fib: { result: 'type', flags: [of] } });

/** Random number from 0 to `mod - 1`. */
export const numgen = (mod: number): Numgen => ({ numgen: { mode: 'random', mod, offset: 0 } });

export const prefix = (addr: string, len: number): Prefix => ({ prefix: { addr, len } });

export const concat = (...parts: readonly Expression[]): Concat => ({ concat: parts });

export const bits = (left: Expression, operator: BitOperator, right: number): Expression => {
  switch (operator) {
    case '&':
      return { '&': [left, right] };
    case '|':
      return { '|': [left, right] };
    case '^':
      return { '^': [left, right] };
  }
};

export const match = (left: Expression, op: MatchOperator, right: Expression): Match => ({
  match: { op, left, right },
});

export const inSet = (left: Expression, set: string): Match => match(left, '==', `@${set}`);
export const notInSet = (left: Expression, set: string): Match => match(left, '!=', `@${set}`);

export const vmap = (key: Expression, map: string): VerdictMap => ({ vmap: { key, data: `@${map}` } });

export const lookup = (key: Expression, map: string): MapLookup => ({ map: { key, data: `@${map}` } });

export const dnat = (family: IpFamily, addr: Expression): Dnat => ({ dnat: { family, addr } });

export const masquerade: Masquerade = { masquerade: { flags: 'fully-random' } };

export const reject = (family: IpFamily): Reject => ({
  reject: { type: family === 'ip' ? 'icmp' : 'icmpv6', expr: 'port-unreachable' },
});

export const mangle = (key: Expression, value: Expression): Mangle => ({ mangle: { key, value } });

/** Adds or renews an element of a dynamic map with a time-out in seconds. */
export const mapUpdate = (map: string, key: Expression, data: Expression, seconds: number): MapUpdate => ({
  map: { op: 'update', elem: { elem: { val: key, timeout: seconds } }, data, map: `@${map}` },
});

/** Deletes an element of a dynamic map; the statement has data by syntax only. */
export const mapDelete = (map: string, key: Expression, data: Expression): MapUpdate => ({
  map: { op: 'delete', elem: key, data, map: `@${map}` },
});

export const drop: Verdict = { drop: null };
export const leave: Verdict = { return: null };
export const jump = (target: string): Verdict => ({ jump: { target } });
export const goto = (target: string): Verdict => ({ goto: { target } });

export const element = (key: Expression, comment: string): ElementKey => ({ elem: { val: key, comment } });

export const isLiteral = (expression: Expression): expression is Literal => typeof expression !== 'object';

export const isReference = (expression: Expression): expression is SetReference =>
  typeof expression === 'string' && expression.startsWith('@');

export const isVerdict = (value: object): value is Verdict =>
  'accept' in value || 'drop' in value || 'return' in value || 'jump' in value || 'goto' in value;

/** Expression that was read and has no statement here. */
export const foreign = (name: string): Foreign => ({ xt: { type: 'unknown', name } });
