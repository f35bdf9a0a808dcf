/**
 * The kernel's rule expressions: instructions over sixteen registers of four bytes (linux/netfilter/nf_tables.h).
 *
 * Numbers in attributes are in network byte order. Registers have two numberings on the wire: 1 to 4 for 16 bytes, 8 to
 * 23 for four bytes. Here they are 0 to 15, and written as the kernel itself writes them.
 */
import { type Attribute, type Attributes, be32, bytes, getBe32, nest, text } from '../netlink/attributes.ts';

export interface KernelExpression {
  readonly name: string;
  readonly attributes: readonly Attribute[];
}

/** Expression as read back. */
export interface FoundExpression {
  readonly name: string;
  readonly attributes: Attributes;
}

/** Attributes that wrap every expression. */
export const EXPRESSION = { NAME: 1, DATA: 2 } as const;
export const PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LENGTH: 4 } as const;
export const META = { DREG: 1, KEY: 2, SREG: 3 } as const;
export const CT = { DREG: 1, KEY: 2, DIRECTION: 3 } as const;
export const CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
export const BITWISE = { SREG: 1, DREG: 2, LENGTH: 3, MASK: 4, XOR: 5 } as const;
export const LOOKUP = { SET: 1, SREG: 2, DREG: 3, FLAGS: 5 } as const;
export const IMMEDIATE = { DREG: 1, DATA: 2 } as const;
export const NUMGEN = { DREG: 1, MODULUS: 2, TYPE: 3, OFFSET: 4 } as const;
export const FIB = { DREG: 1, RESULT: 2, FLAGS: 3 } as const;
export const NAT = { TYPE: 1, FAMILY: 2, ADDRESS_MIN: 3, ADDRESS_MAX: 4, PORT_MIN: 5, PORT_MAX: 6, FLAGS: 7 } as const;
export const MASQUERADE = { FLAGS: 1 } as const;
export const REJECT = { TYPE: 1, CODE: 2 } as const;
export const DYNSET = { SET: 1, OP: 3, KEY: 4, DATA: 5, TIMEOUT: 6 } as const;
export const DATA = { VALUE: 1, VERDICT: 2 } as const;
export const VERDICT = { CODE: 1, CHAIN: 2 } as const;

export const BASE = { network: 1, transport: 2 } as const;
export const OPERATOR = { '==': 0, '!=': 1 } as const;
export const LOOKUP_INVERTED = 1;
export const VERDICT_REGISTER = 0;
export const RESULT_ADDRESS_TYPE = 3;
export const FIB_FLAG = { saddr: 1, daddr: 2 } as const;
export const NAT_DESTINATION = 1;
export const NUMGEN_MODE = { inc: 0, random: 1 } as const;
export const DYNSET_OP = { add: 0, update: 1, delete: 2 } as const;

export const META_KEY = { mark: 3, iifname: 6, l4proto: 16 } as const;
export const CT_KEY = {
  state: 0,
  direction: 1,
  status: 2,
  mark: 3,
  'proto-dst': 12,
  'ip saddr': 19,
  'ip daddr': 20,
  'ip6 saddr': 21,
  'ip6 daddr': 22,
} as const;
export const CT_DIRECTION = { original: 0, reply: 1 } as const;

/** Offsets of header fields in bytes. */
export const HEADER_FIELDS = [
  { protocol: 'ip', field: 'saddr', base: BASE.network, offset: 12, length: 4 },
  { protocol: 'ip', field: 'daddr', base: BASE.network, offset: 16, length: 4 },
  { protocol: 'ip6', field: 'saddr', base: BASE.network, offset: 8, length: 16 },
  { protocol: 'ip6', field: 'daddr', base: BASE.network, offset: 24, length: 16 },
  { protocol: 'th', field: 'sport', base: BASE.transport, offset: 0, length: 2 },
  { protocol: 'th', field: 'dport', base: BASE.transport, offset: 2, length: 2 },
] as const;

/** Bits of conntrack's states and statuses (nf_conntrack_common.h). */
export const CT_BITS: Readonly<Record<'state' | 'status', Readonly<Record<string, number>>>> = {
  state: { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 },
  status: { 'seen-reply': 2, assured: 4, confirmed: 8, snat: 16, dnat: 32 },
};

/** Address types (RTN_* of rtnetlink). */
export const ADDRESS_TYPES: Readonly<Record<string, number>> = { unicast: 1, local: 2, broadcast: 3, multicast: 5 };

/** NF_NAT_RANGE_* flags of masquerade. */
export const MASQUERADE_FLAGS: Readonly<Record<string, number>> = { random: 4, persistent: 8, 'fully-random': 16 };

/** NFPROTO_* numbers of the families. */
export const FAMILY_NUMBER = { ip: 2, ip6: 10, inet: 1 } as const;

/** Code "port unreachable" of ICMP and ICMPv6. */
export const PORT_UNREACHABLE = { icmp: 3, icmpv6: 4 } as const;

export const INTERFACE_NAME_BYTES = 16;

const REGISTERS_PER_WIDE = 4;
const FIRST_NARROW = 8;

export const registerNumber = (index: number): number =>
  index % REGISTERS_PER_WIDE === 0 ? 1 + index / REGISTERS_PER_WIDE : FIRST_NARROW + index;

export const registerIndex = (number: number): number =>
  number < FIRST_NARROW ? (number - 1) * REGISTERS_PER_WIDE : number - FIRST_NARROW;

export const registerAt = (type: number, index: number): Attribute => be32(type, registerNumber(index));

export const readRegister = (attributes: Attributes, type: number): number => registerIndex(getBe32(attributes, type));

/** Constant of cmp, bitwise and set elements. */
export const value = (type: number, content: Uint8Array): Attribute => nest(type, [bytes(DATA.VALUE, content)]);

const CODES = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
export type VerdictName = keyof typeof CODES;

export const verdict = (type: number, name: VerdictName, target?: string): Attribute =>
  nest(type, [
    nest(DATA.VERDICT, [
      be32(VERDICT.CODE, CODES[name] >>> 0),
      ...(target === undefined ? [] : [text(VERDICT.CHAIN, target)]),
    ]),
  ]);

export const verdictName = (code: number): VerdictName | undefined =>
  (Object.keys(CODES) as VerdictName[]).find((name) => CODES[name] >>> 0 === code);
