/**
 * nft's ruleset language as data: libnftables' JSON schema (libnftables-json(5)), as far as this library supports it.
 *
 * These types are exactly what `nft -j` reads and prints: no intermediate form stands between them and the kernel.
 */

export type Family = 'ip' | 'ip6' | 'inet';

/** Named set or map in an expression: `@name`. */
export type SetReference = `@${string}`;

/** Literal: address, protocol name, port, mark, interface name, state …; its type is that of the other operand. */
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
 * Conntrack key. `ip daddr` and `ip6 daddr` are the address before translation, `proto-dst` the port; they need a
 * direction. `direction` is that of the packet itself.
 */
export interface Conntrack {
  readonly ct: {
    readonly key: 'state' | 'status' | 'direction' | 'mark' | 'proto-dst' | `${'ip' | 'ip6'} ${'saddr' | 'daddr'}`;
    readonly dir?: 'original' | 'reply';
  };
}

/** Type of an address by the routing table: `local` is the node's own. */
export interface Fib {
  readonly fib: { readonly result: 'type'; readonly flags: readonly ('saddr' | 'daddr')[] };
}

/** Random number from `offset` to `offset + mod - 1`. */
export interface Numgen {
  readonly numgen: { readonly mode: 'random' | 'inc'; readonly mod: number; readonly offset: number };
}

export type BitOperator = '&' | '|' | '^';

/** Bitwise operator as the single key; its right side is a constant. */
export type BitOperation =
  | { readonly '&': readonly [Expression, number] }
  | { readonly '|': readonly [Expression, number] }
  | { readonly '^': readonly [Expression, number] };

/** Data of a map for a key; without a match the rule ends here. */
export interface MapLookup {
  readonly map: { readonly key: Expression; readonly data: SetReference };
}

/** Counter of an element; bytes include the headers of layer 3. */
export interface Counter {
  readonly packets: number;
  readonly bytes: number;
}

/** Key with the further properties of its element; times in seconds. */
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

/** Adds an element to a dynamic map or renews its time-out, or deletes it whatever its data. */
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

/** Kernel expression without a statement in this library: read back, never written. */
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

/**
 * Type by an expression that has it (`typeof`): the only way to declare numgen's. nft reads it in JSON from 1.1.2 on.
 */
export type KeyType = TypeName | readonly TypeName[] | { readonly typeof: Expression };

export type SetFlag = 'interval' | 'timeout' | 'dynamic';

/** Statement that an element of a set executes when a packet matches it. */
export interface ElementStatement {
  readonly counter: null;
}

/** Set; with `map` a map. `timeout` in seconds, `size` in elements. */
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

/** Element: a set's key, or a map's key and data. */
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
