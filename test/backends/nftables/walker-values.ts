/** What expressions of a rule yield for a packet in the walker, and whether they match. */
import { isLoopback } from '../../../src/model/address.ts';
import { isReference, isVerdict } from '../../../src/nftables-json/construct.ts';
import type { Expression, Match } from '../../../src/nftables-json/schema.ts';
import { formatExpression } from '../../../src/nftables-json/text.ts';
import { NftSet } from './walker-sets.ts';

/** The first of its connection. */
export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
  /** Undefined for a packet that the node itself sends. */
  readonly inInterface: string | undefined;
}

export interface State {
  readonly packet: Packet;
  /** What it was sent to. */
  readonly original: Pick<Packet, 'destination' | 'port'>;
  readonly mark: number;
  readonly isTranslated: boolean;
  readonly updates: readonly string[];
  readonly rules: number;
}

/** Fields of a value; undefined where a map has none. */
export type Value = readonly string[] | undefined;

export class Values {
  readonly sets = new Map<string, NftSet>();
  readonly #localAddresses: ReadonlySet<string>;

  constructor(localAddresses: readonly string[]) {
    this.#localAddresses = new Set(localAddresses);
  }

  matches({ left, op, right }: Match['match'], state: State): boolean {
    if (op === 'in') return this.#hasBit(left, String(right), state);
    const value = this.all(left, state)[0];
    if (value === undefined) throw new Error('a match of nothing');
    const isEqual = isReference(right)
      ? this.set(right).find(value) !== undefined
      : NftSet.of([right]).find(value) !== undefined;
    return isEqual === (op === '==');
  }

  /** Every packet here is the first of its connection. */
  #hasBit(left: Expression, bit: string, { isTranslated }: State): boolean {
    const what = `${formatExpression(left)} ${bit}`;
    if (what === 'ct state new') return true;
    if (what === 'ct state invalid') return false;
    if (what === 'ct status dnat') return isTranslated;
    throw new Error(`the walker does not know ${what}`);
  }

  /** All values that an expression may have. */
  all(expression: Expression, state: State): readonly Value[] {
    if (typeof expression !== 'object') return [[String(expression)]];
    if ('concat' in expression) {
      return expression.concat
        .map((part) => this.all(part, state))
        .reduce((all, next) => all.flatMap((a) => next.map((b) => a && b && [...a, ...b])), [[]] as readonly Value[]);
    }
    if ('numgen' in expression) {
      const { mod, offset } = expression.numgen;
      return Array.from({ length: mod }, (_, i) => [String(i + offset)]);
    }
    if ('map' in expression) {
      const set = this.set(expression.map.data);
      return this.all(expression.map.key, state).map((key) => {
        const data = key && set.find(key)?.data;
        return data === undefined || (typeof data === 'object' && isVerdict(data)) ? undefined : fieldsOf(data);
      });
    }
    return [[this.one(expression, state)]];
  }

  one(expression: Expression, state: State): string {
    const { packet, original } = state;
    if (typeof expression !== 'object') return String(expression);
    if ('&' in expression) return String(Number(this.one(expression['&'][0], state)) & expression['&'][1]);
    if ('|' in expression) return String(Number(this.one(expression['|'][0], state)) | expression['|'][1]);
    if ('^' in expression) return String(Number(this.one(expression['^'][0], state)) ^ expression['^'][1]);
    const text = formatExpression(expression);
    if (/^ip6? saddr$/.test(text)) return packet.source;
    if (/^ip6? daddr$/.test(text)) return packet.destination;
    if (text === 'th dport') return String(packet.port);
    if (text === 'meta l4proto') return packet.protocol;
    if (text === 'meta mark') return String(state.mark);
    if (text === 'ct direction') return 'original'; // as it is the first
    if (text === 'iifname') return packet.inInterface ?? '';
    if (/^ct original ip6? daddr$/.test(text)) return original.destination;
    if (text === 'ct original proto-dst') return String(original.port);
    if (text === 'fib daddr type') return this.isLocal(packet.destination) ? 'local' : 'unicast';
    if (text === 'fib saddr type') return this.isLocal(packet.source) ? 'local' : 'unicast';
    throw new Error(`the walker does not know ${text}`);
  }

  set(reference: string): NftSet {
    const set = this.sets.get(reference.slice(1));
    if (set === undefined) throw new Error(`there is no set ${reference}`);
    return set;
  }

  isLocal(ip: string): boolean {
    return isLoopback(ip) || this.#localAddresses.has(ip);
  }
}

const fieldsOf = (data: Expression): readonly string[] =>
  typeof data === 'object' && 'concat' in data ? data.concat.map(formatExpression) : [formatExpression(data)];
