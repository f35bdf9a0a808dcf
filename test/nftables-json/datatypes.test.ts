import { endianness } from 'node:os';
import { describe, expect, it } from 'vitest';
import { concat, ct, meta, numgen, payload } from '../../src/nftables-json/construct.ts';
import {
  DATA_TYPES,
  lengthOf,
  protocolName,
  protocolNumber,
  typeNumber,
  typesOfNumber,
} from '../../src/nftables-json/datatypes.ts';
import type { Literal, TypeName } from '../../src/nftables-json/schema.ts';
import { dataFieldsOf, fieldsOf, typesOf } from '../../src/nftables-json/types.ts';

/** Marks and plain numbers are in the machine's own byte order. */
const host = (hex: string): string => (endianness() === 'BE' ? hex : Buffer.from(hex, 'hex').reverse().toString('hex'));

const VALUES: readonly (readonly [TypeName, Literal, string])[] = [
  ['ipv4_addr', '10.96.0.1', '0a600001'],
  ['ipv4_addr', '255.255.255.255', 'ffffffff'],
  ['ipv6_addr', 'fd00:10:96::1', 'fd000010009600000000000000000001'],
  ['ipv6_addr', '::', '00'.repeat(16)],
  ['inet_proto', 'tcp', '06'],
  ['inet_proto', 'udp', '11'],
  ['inet_proto', 'sctp', '84'],
  ['inet_proto', 89, '59'],
  ['inet_service', 443, '01bb'],
  ['inet_service', 65_535, 'ffff'],
  ['mark', 0x4000, host('00004000')],
  ['mark', 0xffffffff, 'ffffffff'],
  ['integer', 7, host('00000007')],
];

describe('a value', () => {
  it.each(VALUES)('of type %s: %s is %s in bytes, and back', (type, value, hex) => {
    const bytes = Buffer.alloc(DATA_TYPES[type].bytes + 2, 0xee);
    DATA_TYPES[type].write(bytes, 1, value);
    expect(bytes.toString('hex')).toBe(`ee${hex}ee`);
    expect(DATA_TYPES[type].read(bytes, 1)).toBe(value);
  });

  it.each<readonly [TypeName, Literal]>([
    ['ipv4_addr', '10.96.0'],
    ['ipv4_addr', '10.96.0.256'],
    ['ipv4_addr', '10.96.0.x'],
    ['ipv4_addr', 'fd00::1'],
    ['ipv6_addr', '10.96.0.1'],
    ['ipv6_addr', 'fd00::g'],
    ['inet_proto', 'icmp'],
    ['inet_proto', 256],
    ['inet_service', 'http'],
    ['inet_service', 65_536],
    ['inet_service', 1.5],
    ['mark', -1],
    ['mark', 'abc'],
  ])('that type %s does not have is refused: %s', (type, value) => {
    expect(() => DATA_TYPES[type].write(Buffer.alloc(16), 0, value)).toThrow();
  });

  it('may be a protocol by its number', () => {
    expect([protocolNumber('sctp'), protocolNumber(89)]).toEqual([132, 89]);
    expect([protocolName(132), protocolName(89)]).toEqual(['sctp', 89]);
  });
});

describe('a concatenation', () => {
  it.each<readonly [readonly TypeName[], number, number]>([
    [['ipv4_addr'], 7, 4],
    [['inet_service'], 13, 2],
    [['inet_proto'], 12, 1],
    [['ipv4_addr', 'inet_proto', 'inet_service'], 0x730d, 12],
    [['ipv6_addr', 'inet_proto', 'inet_service'], 0x830d, 24],
    [['ipv4_addr', 'inet_service'], 0x1cd, 8],
    [['ipv4_addr', 'ipv4_addr', 'inet_proto', 'inet_service'], 0x1c730d, 16],
    [['ipv4_addr', 'inet_proto', 'inet_service', 'mark'], 0x1cc353, 16],
    [['mark', 'mark', 'mark', 'mark', 'mark'], 0x134d34d3, 20],
  ])('of %j has nft’s number, every field padded to four bytes', (types, number, length) => {
    expect(typeNumber(types)).toBe(number);
    expect(lengthOf(types)).toBe(length);
    expect(typesOfNumber(number)).toEqual(types);
  });

  it('with a field of another type is not known', () => {
    expect(typesOfNumber((7 << 6) | 41)).toBeUndefined();
    expect(typesOfNumber(0)).toBeUndefined();
  });
});

describe('the type', () => {
  it('of what an expression yields', () => {
    const key = concat(payload('ip6', 'saddr'), ct('ip daddr', 'original'), meta('l4proto'), payload('th', 'sport'));
    expect(typesOf(key)).toEqual(['ipv6_addr', 'ipv4_addr', 'inet_proto', 'inet_service']);
    expect(typesOf(concat(ct('proto-dst', 'reply'), ct('ip6 saddr', 'reply'), meta('mark'), numgen(3)))).toEqual([
      'inet_service',
      'ipv6_addr',
      'mark',
      'integer',
    ]);
    expect(() => typesOf(meta('iifname'))).toThrow(TypeError);
    expect(() => typesOf('10.0.0.1')).toThrow(TypeError);
  });

  it('of a set’s key and a map’s data', () => {
    const here = { family: 'ip', table: 't', name: 's' } as const;
    expect(fieldsOf('mark')).toEqual(['mark']);
    expect(fieldsOf({ typeof: concat(payload('ip', 'daddr'), numgen(2)) })).toEqual(['ipv4_addr', 'integer']);
    expect(dataFieldsOf({ ...here, type: 'mark', map: 'verdict' })).toEqual([]);
    expect(dataFieldsOf({ ...here, type: 'mark' })).toEqual([]);
    expect(dataFieldsOf({ ...here, type: 'mark', map: ['ipv4_addr', 'mark'] })).toEqual(['ipv4_addr', 'mark']);
  });
});
