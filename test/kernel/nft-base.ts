/** A small table: a chain that jumps to another, a set, a map of verdicts, a map of data. */
import { concat, goto, jump, match, meta } from '../../src/nftables-json/construct.ts';
import type { Command, Element, Rule, SetDeclaration } from '../../src/nftables-json/schema.ts';

export const here = { family: 'ip', table: 't' } as const;
export const PORTS: SetDeclaration = { ...here, name: 'ports', type: 'inet_service' };
export const MAP: SetDeclaration = { ...here, name: 'map', type: ['ipv4_addr', 'inet_service'], map: 'verdict' };
export const DATA: SetDeclaration = { ...here, name: 'data', type: 'mark', map: ['ipv4_addr', 'inet_service'] };
export const rule = (chain: string, ...expr: Rule['expr']): Command => ({ add: { rule: { ...here, chain, expr } } });
export const elements = (name: string, ...elem: readonly Element[]) => ({ element: { ...here, name, elem } });

export const BASE: readonly Command[] = [
  { add: { table: { family: 'ip', name: 't' } } },
  { add: { set: PORTS } },
  { add: { map: MAP } },
  { add: { map: DATA } },
  { add: { chain: { ...here, name: 'used' } } },
  { add: { chain: { ...here, name: 'user' } } },
  rule('user', match(meta('mark'), '==', 1), jump('used')),
  { add: elements('ports', 80, 443) },
  { add: elements('map', [concat('10.0.0.1', 80), goto('used')]) },
  { add: elements('data', [0, concat('10.0.0.1', 8080)]) },
];
export const KNOWN = { sets: [PORTS, MAP, DATA] };
