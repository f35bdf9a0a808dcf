/**
 * nft's ruleset language as data: libnftables' JSON schema (libnftables-json(5)), as far as this library speaks it.
 *
 * What `nft -j` reads and prints is these types and nothing else: no form of our own stands between them and the kernel.
 */

export type Family = 'ip' | 'ip6' | 'inet';

/** A named set or map in an expression: `@name`. */
export type SetReference = `@${string}`;

/** An address, protocol name, port, mark, interface name, state …: what it means follows from what it is compared with. */
export type Literal = string | number;

export interface Prefix {
  readonly prefix: { readonly addr: string; readonly len: number };
}

export interface Concat {
  readonly concat: readonly Expression[];
}

export interface Payload {
  readonly payload: { readonly protocol: 'ip' | 'ip6' | 'th'; readonly field: 'saddr' | 'daddr' | 'sport' | 'dport' };
}

export interface Meta {
  readonly meta: { readonly key: 'mark' | 'l4proto' | 'iifname' };
}

/**
 * `ip daddr` and `ip6 daddr` are the address before translation, `proto-dst` the port; they need a direction. `direction` is
 * the packet's own.
 */
export interface Conntrack {
  readonly ct: {
    readonly key: 'state' | 'status' | 'direction' | 'mark' | 'proto-dst' | `${'ip' | 'ip6'} ${'saddr' | 'daddr'}`;
    readonly dir?: 'original' | 'reply';
  };
}

/** The kind of an address, as routing sees it: `local` is the node's own. */
export interface Fib {
  readonly fib: { readonly result: 'type'; readonly flags: readonly ('saddr' | 'daddr')[] };
}

/** A number from `offset` to `offset + mod - 1`. */
export interface Numgen {
  readonly numgen: { readonly mode: 'random' | 'inc'; readonly mod: number; readonly offset: number };
}

export type BitOperator = '&' | '|' | '^';

/** One key: the operator. The right side is a constant. */
export type BitOperation =
  | { readonly '&': readonly [Expression, number] }
  | { readonly '|': readonly [Expression, number] }
  | { readonly '^': readonly [Expression, number] };

/** What a map holds for a key. No match, no further statement of the rule. */
export interface MapLookup {
  readonly map: { readonly key: Expression; readonly data: SetReference };
}

/** What an element has counted so far; bytes with the headers of layer 3. */
export interface Counter {
  readonly packets: number;
  readonly bytes: number;
}

/** A key with what else belongs to its element; times in seconds. */
export interface ElementKey {
  readonly elem: {
    readonly val: Expression;
    readonly timeout?: number;
    readonly expires?: number;
    readonly counter?: Counter;
    readonly comment?: string;
  };
}

export type Expression =
  | Literal
  | SetReference
  | Prefix
  | Concat
  | Payload
  | Meta
  | Conntrack
  | Fib
  | Numgen
  | BitOperation
  | MapLookup
  | ElementKey;

export type MatchOperator = '==' | '!=' | 'in';

export interface Match {
  readonly match: { readonly op: MatchOperator; readonly left: Expression; readonly right: Expression };
}

export interface VerdictMap {
  readonly vmap: { readonly key: Expression; readonly data: SetReference };
}

export interface Mangle {
  readonly mangle: { readonly key: Expression; readonly value: Expression };
}

export interface Dnat {
  readonly dnat: { readonly family: 'ip' | 'ip6'; readonly addr: Expression };
}

export interface Masquerade {
  readonly masquerade: { readonly flags?: 'random' | 'fully-random' | 'persistent' } | null;
}

export interface Reject {
  readonly reject: { readonly type: 'icmp' | 'icmpv6'; readonly expr: 'port-unreachable' };
}

/** Adds an element to a dynamic map, renews its time-out, or takes it out whatever it leads to. */
export interface MapUpdate {
  readonly map: {
    readonly op: 'update' | 'add' | 'delete';
    readonly elem: Expression;
    readonly data: Expression;
    readonly map: SetReference;
  };
}

export type Verdict =
  | { readonly accept: null }
  | { readonly drop: null }
  | { readonly return: null }
  | { readonly jump: { readonly target: string } }
  | { readonly goto: { readonly target: string } };

/** A kernel expression that this library has no statement for, as read back: never written. */
export interface Foreign {
  readonly xt: { readonly type: string; readonly name: string };
}

export type Statement = Match | VerdictMap | Mangle | Dnat | Masquerade | Reject | MapUpdate | Verdict | Foreign;

export interface Table {
  readonly family: Family;
  readonly name: string;
}

export type Hook = 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';

export interface ChainHook {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: Hook;
  readonly prio: number;
  readonly policy: 'accept' | 'drop';
}

export interface Chain extends Partial<ChainHook> {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
}

export interface Rule {
  readonly family: Family;
  readonly table: string;
  readonly chain: string;
  readonly expr: readonly Statement[];
}

export type TypeName = 'ipv4_addr' | 'ipv6_addr' | 'inet_proto' | 'inet_service' | 'mark' | 'integer';

/** `typeof` says the type by an expression that has it: the only way to name numgen's. nft reads it in JSON from 1.1.2 on. */
export type KeyType = TypeName | readonly TypeName[] | { readonly typeof: Expression };

export type SetFlag = 'interval' | 'timeout' | 'dynamic';

/** What each element of a set does when a packet is found in it. */
export interface ElementStatement {
  readonly counter: null;
}

/** A set, or with `map` a map. `timeout` in seconds, `size` in elements. */
export interface SetDeclaration {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly type: KeyType;
  readonly map?: 'verdict' | TypeName | readonly TypeName[];
  readonly flags?: readonly SetFlag[];
  readonly size?: number;
  readonly timeout?: number;
  readonly stmt?: readonly [ElementStatement];
}

/** Of a set its key, of a map its key and what it leads to. */
export type Element = Expression | readonly [key: Expression, data: Expression | Verdict];

export interface Elements {
  readonly family: Family;
  readonly table: string;
  readonly name: string;
  readonly elem: readonly Element[];
}

export type Declaration =
  | { readonly table: Table }
  | { readonly chain: Chain }
  | { readonly rule: Rule }
  | { readonly set: SetDeclaration }
  | { readonly map: SetDeclaration }
  | { readonly element: Elements };

export type Flushable = { readonly chain: Chain } | { readonly set: SetDeclaration } | { readonly map: SetDeclaration };

export type Command =
  | { readonly add: Declaration }
  | { readonly delete: Exclude<Declaration, { readonly rule: Rule }> }
  | { readonly flush: Flushable };
