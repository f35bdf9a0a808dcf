import { describe, expect, it } from 'vitest';
import {
  bits,
  concat,
  ct,
  dnat,
  drop,
  element,
  fibType,
  foreign,
  goto,
  inSet,
  jump,
  lookup,
  mangle,
  mapUpdate,
  masquerade,
  match,
  meta,
  notInSet,
  numgen,
  payload,
  prefix,
  reject,
  vmap,
} from '../../src/nftables-json/construct.ts';
import type { Command, Statement } from '../../src/nftables-json/schema.ts';
import { formatCommand, formatElement, formatJson, formatStatements } from '../../src/nftables-json/text.ts';

const source = payload('ip', 'saddr');
const destination = payload('ip', 'daddr');
const protocol = meta('l4proto');
const port = payload('th', 'dport');
const mark = meta('mark');
const key = concat(destination, protocol, port);

const STATEMENTS: readonly (readonly [string, ...Statement[]])[] = [
  ['ip daddr 10.0.0.1', match(destination, '==', '10.0.0.1')],
  ['ip saddr != 10.128.0.0/9', match(source, '!=', prefix('10.128.0.0', 9))],
  ['ip6 saddr fd00::/8', match(payload('ip6', 'saddr'), '==', prefix('fd00::', 8))],
  ['meta l4proto sctp', match(protocol, '==', 'sctp')],
  ['th sport != 1024 th dport 80', match(payload('th', 'sport'), '!=', 1024), match(port, '==', 80)],
  ['meta mark 16384', match(mark, '==', 0x4000)],
  ['meta mark & 0x4000 != 0', match(bits(mark, '&', 0x4000), '!=', 0)],
  ['meta mark & 0x4000 == 16384', match(bits(mark, '&', 0x4000), '==', 0x4000)],
  ['ct state invalid drop', match(ct('state'), 'in', 'invalid'), drop],
  ['ct status dnat', match(ct('status'), 'in', 'dnat')],
  ['ct direction reply', match(ct('direction'), '==', 'reply')],
  ['ct mark != 1', match(ct('mark'), '!=', 1)],
  ['fib saddr type local', match(fibType('saddr'), '==', 'local')],
  ['fib daddr type != local', match(fibType('daddr'), '!=', 'local')],
  ['iifname "veth*"', match(meta('iifname'), '==', 'veth*')],
  ['iifname != "cni0"', match(meta('iifname'), '!=', 'cni0')],
  ['ip daddr @cluster-ips', inSet(destination, 'cluster-ips')],
  ['ip saddr . ip daddr != @hairpin', notInSet(concat(source, destination), 'hairpin')],
  ['iifname @ours', inSet(meta('iifname'), 'ours')],
  ['ip daddr . meta l4proto . th dport vmap @service-ips', vmap(key, 'service-ips')],
  ['meta mark set meta mark | 0x4000', mangle(mark, bits(mark, '|', 0x4000))],
  ['meta mark set meta mark ^ 0xffffffff', mangle(mark, bits(mark, '^', 0xffffffff))],
  ['meta mark set th dport map @marks', mangle(mark, lookup(port, 'marks'))],
  [
    'dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints',
    dnat('ip', lookup(concat(destination, protocol, port, numgen(3)), 'endpoints')),
  ],
  [
    'dnat ip6 to numgen inc mod 3 offset 2 map @endpoints',
    dnat('ip6', lookup({ numgen: { mode: 'inc', mod: 3, offset: 2 } }, 'endpoints')),
  ],
  [
    'update @affinity { ip saddr . ct original ip daddr . ct original proto-dst timeout 60s : ip daddr . th dport }',
    mapUpdate(
      'affinity',
      concat(source, ct('ip daddr', 'original'), ct('proto-dst', 'original')),
      concat(destination, port),
      60,
    ),
  ],
  ['add @m { th dport : meta mark }', { map: { op: 'add', elem: port, data: mark, map: '@m' } }],
  ['masquerade fully-random', masquerade],
  ['masquerade random', { masquerade: { flags: 'random' } }],
  ['masquerade persistent', { masquerade: { flags: 'persistent' } }],
  ['masquerade', { masquerade: null }],
  ['reject', reject('ip')],
  ['reject', reject('ip6')],
  ['jump services', jump('services')],
  ['goto pick-3', goto('pick-3')],
  ['accept', { accept: null }],
  ['return', { return: null }],
  ['xt quota', foreign('quota')],
];

const here = { family: 'ip', table: 't', name: 'n' } as const;
const endpoints = { typeof: concat(destination, protocol, port, numgen(2)) };

const COMMANDS: readonly (readonly [string, Command])[] = [
  ['add table ip6 t', { add: { table: { family: 'ip6', name: 't' } } }],
  ['delete table inet t', { delete: { table: { family: 'inet', name: 't' } } }],
  ['add chain ip t n', { add: { chain: here } }],
  [
    'add chain ip t n { type nat hook prerouting priority -100 ; policy accept ; }',
    { add: { chain: { ...here, type: 'nat', hook: 'prerouting', prio: -100 } } },
  ],
  [
    'add chain ip t n { type filter hook input priority 0 ; policy drop ; }',
    { add: { chain: { ...here, type: 'filter', hook: 'input', prio: 0, policy: 'drop' } } },
  ],
  ['delete chain ip t n', { delete: { chain: here } }],
  ['flush chain ip t n', { flush: { chain: here } }],
  [
    'add rule ip t c ct state new jump n',
    { add: { rule: { family: 'ip', table: 't', chain: 'c', expr: [match(ct('state'), 'in', 'new'), jump('n')] } } },
  ],
  ['add set ip t n { type ipv4_addr ; }', { add: { set: { ...here, type: 'ipv4_addr' } } }],
  [
    'add set ip t n { type ipv4_addr . inet_service ; flags dynamic,timeout ; size 9 ; timeout 60s ; }',
    {
      add: {
        set: { ...here, type: ['ipv4_addr', 'inet_service'], flags: ['timeout', 'dynamic'], size: 9, timeout: 60 },
      },
    },
  ],
  ['delete set ip t n', { delete: { set: { ...here, type: 'mark' } } }],
  ['flush set ip t n', { flush: { set: { ...here, type: 'mark' } } }],
  [
    'add map ip t n { type inet_proto . inet_service : verdict ; }',
    { add: { map: { ...here, type: ['inet_proto', 'inet_service'], map: 'verdict' } } },
  ],
  [
    'add map ip t n { type mark : ipv4_addr . inet_service ; }',
    { add: { map: { ...here, type: 'mark', map: ['ipv4_addr', 'inet_service'] } } },
  ],
  [
    'add map ip t n { typeof ip daddr . meta l4proto . th dport . numgen random mod 2 : ip daddr . th dport ; }',
    { add: { map: { ...here, type: endpoints, map: ['ipv4_addr', 'inet_service'] } } },
  ],
  ['delete map ip t n', { delete: { map: { ...here, type: 'mark', map: 'verdict' } } }],
  ['flush map ip t n', { flush: { map: { ...here, type: 'mark', map: 'verdict' } } }],
  [
    'add element ip t n { 10.0.0.1 . tcp . 80, 10.0.0.0/8 . udp . 53 }',
    {
      add: {
        element: { ...here, elem: [concat('10.0.0.1', 'tcp', 80), concat(prefix('10.0.0.0', 8), 'udp', 53)] },
      },
    },
  ],
  ['delete element ip t n { 80 : goto x }', { delete: { element: { ...here, elem: [[80, goto('x')]] } } }],
];

describe('the text', () => {
  it.each(STATEMENTS.map(([text, ...statements]) => [text, statements] as const))(
    'of a rule: %s',
    (text, statements) => {
      expect(formatStatements(statements)).toBe(text);
    },
  );

  it.each(COMMANDS)('of a command: %s', (text, command) => {
    expect(formatCommand(command)).toBe(text);
  });

  it('of an element has all that belongs to it', () => {
    const full = { elem: { val: '10.0.0.1', timeout: 60, expires: 12.05, comment: 'ns/name:p' } };
    expect(formatElement(full)).toBe('10.0.0.1 timeout 60s expires 12s50ms comment "ns/name:p"');
    expect(formatElement([element(80, 'a comment'), drop])).toBe('80 comment "a comment" : drop');
    expect(formatElement([80, concat('10.0.0.1', 8080)])).toBe('80 : 10.0.0.1 . 8080');
  });
});

describe('the JSON', () => {
  const inJson = (...commands: readonly Command[]): unknown => JSON.parse(formatJson(commands));

  it('is the commands themselves', () => {
    const commands = COMMANDS.map(([, command]) => command).filter(
      (command) => !JSON.stringify(command).includes('typeof'),
    );
    expect(inJson(...commands)).toEqual({ nftables: [{ metainfo: { json_schema_version: 1 } }, ...commands] });
  });

  it('says the data of a map by an expression where it says the key so', () => {
    const map = { ...here, type: endpoints, map: ['ipv4_addr', 'inet_service'] } as const;
    expect(inJson({ add: { map } })).toMatchObject({
      nftables: [{}, { add: { map: { type: endpoints, map: { typeof: concat(destination, port) } } } }],
    });
  });
});
