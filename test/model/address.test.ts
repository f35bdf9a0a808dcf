import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cidrContains,
  familyOf,
  formatBytes,
  ipBytes,
  isLoopback,
  joinHostPort,
  parseCIDR,
  parseIP,
} from '../../src/model/address.ts';

const ipv6 = fc.ipV6();

/** The spelling that URLs have for an IPv6 address (WHATWG): that of RFC 5952. */
const asInUrl = (ip: string): string => new URL(`http://[${ip}]/`).hostname.slice(1, -1);

describe('an address', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    // L7: leading zeros are decimal
    ['172.30.0.041', '172.30.0.41'],
    ['010.001.000.099', '10.1.0.99'],
    ['000000010.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['fd00:0:0:0:1:0:0:0', 'fd00::1:0:0:0'],
    ['::10.0.0.1', '::a00:1'],
    // IPv4-mapped ones are IPv4
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::FFFF:0a00:0001', '10.0.0.1'],
    ['::ffff:010.0.0.1', '10.0.0.1'],
  ])('%s is spelled %s', (text, canonical) => {
    expect(parseIP(text)).toBe(canonical);
  });

  it.each([
    '',
    'localhost',
    '10',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.0.1',
    '10..0.1',
    '10.0.0.-1',
    '+10.0.0.1',
    '0x0a.0.0.1',
    ' 10.0.0.1',
    '10.0.0.1 ',
    '10.0.0.1/32',
    '[::1]',
    '::1/128',
    ':::',
    '1::2::3',
    '12345::',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7',
    'fe80::1%eth0',
    '::1%0',
    'g::1',
  ])('"%s" is none', (text) => {
    expect(parseIP(text)).toBeUndefined();
  });

  it('has one spelling, which reads as itself', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), ipv6), (text) => {
        const ip = parseIP(text);
        if (ip === undefined) throw new Error(`${text} was refused`);
        expect(parseIP(ip)).toBe(ip);
        expect(formatBytes(ipBytes(ip))).toBe(ip);
        if (familyOf(ip) === 'IPv6') expect(ip).toBe(asInUrl(text));
      }),
    );
  });

  it('with leading zeros is the same address', () => {
    const octet = fc.tuple(fc.nat(255), fc.integer({ min: 0, max: 3 })).map(([n, zeros]) => '0'.repeat(zeros) + n);
    fc.assert(
      fc.property(fc.tuple(octet, octet, octet, octet), (octets) => {
        expect(parseIP(octets.join('.'))).toBe(octets.map(Number).join('.'));
      }),
    );
  });

  it('goes with a port, in brackets if it has colons', () => {
    expect(joinHostPort('10.0.0.1', 80)).toBe('10.0.0.1:80');
    expect(joinHostPort('fd00::1', 80)).toBe('[fd00::1]:80');
  });

  it.each([
    ['127.0.0.1', true],
    ['127.255.0.3', true],
    ['::1', true],
    ['126.0.0.1', false],
    ['::', false],
    ['::1:0', false],
  ])('%s is loopback: %s', (ip, expected) => {
    expect(isLoopback(ip)).toBe(expected);
  });
});

describe('a CIDR', () => {
  it.each([
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['10.0.0.129/25', '10.0.0.128/25'],
    ['203.0.113.000/025', '203.0.113.0/25'],
    [' 192.168.0.0/24\t', '192.168.0.0/24'],
    ['255.255.255.255/32', '255.255.255.255/32'],
    ['10.0.0.0/0', '0.0.0.0/0'],
    ['FD00:10::1/64', 'fd00:10::/64'],
    ['fd00::ffff/127', 'fd00::fffe/127'],
    ['fd00::1/128', 'fd00::1/128'],
    ['ffff::1/0', '::/0'],
    // IPv4 only if the whole prefix of mapped addresses is inside, as in Go
    ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
    ['::ffff:10.1.2.3/128', '10.1.2.3/32'],
    ['::ffff:10.1.2.3/96', '0.0.0.0/0'],
    ['::ffff:10.1.2.3/24', '::/24'],
  ])('%s is spelled %s', (text, canonical) => {
    const cidr = parseCIDR(text);
    expect(cidr?.text).toBe(canonical);
    expect(cidr?.prefix).toBe(Number(canonical.split('/')[1]));
    expect(cidr?.family).toBe(familyOf(canonical));
  });

  it.each([
    '',
    '/8',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.0/8x',
    '10.0.0.0/1e1',
    '10.0.0.0/ 8',
    '10.0/16',
    '10.0.0.0/255.0.0.0',
    '::/129',
    '[::]/0',
    'fe80::%eth0/64',
    'primary',
  ])('"%s" is none', (text) => {
    expect(parseCIDR(text)).toBeUndefined();
  });

  it.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.0.0.128/25', '10.0.0.127', false],
    ['10.0.0.128/25', '10.0.0.128', true],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '::1', false],
    ['::/0', '10.0.0.1', false],
    ['::/0', 'fd00::1', true],
    ['fd00::/65', 'fd00::7fff:0:0:1', true],
    ['fd00::/65', 'fd00::8000:0:0:1', false],
  ])('%s contains %s: %s', (text, ip, expected) => {
    const cidr = parseCIDR(text);
    expect(cidr !== undefined && cidrContains(cidr, ip)).toBe(expected);
  });

  it.each([
    { family: 'ipv4' as const, address: fc.ipV4(), bits: 32 },
    { family: 'ipv6' as const, address: ipv6.map(asInUrl).filter((ip) => !ip.startsWith('::ffff:')), bits: 128 },
  ])('contains what node’s own block lists say it does ($family)', ({ family, address, bits }) => {
    // an address that shares some leading bits is more telling than any other
    const pair = fc.tuple(address, address, fc.nat(bits), fc.nat(bits)).map(([a, b, prefix, shared]) => {
      const cidr = parseCIDR(`${a}/${shared}`);
      const head = cidr?.bytes ?? [];
      const tail = ipBytes(b);
      const kept = parseCIDR(`${b}/${shared}`)?.bytes ?? [];
      const near = formatBytes(head.map((byte, i) => byte | ((tail[i] ?? 0) - (kept[i] ?? 0))));
      return { text: `${a}/${prefix}`, network: a, prefix, near, far: b };
    });
    fc.assert(
      fc.property(pair, ({ text, network, prefix, near, far }) => {
        const list = new BlockList();
        list.addSubnet(network, prefix, family);
        const cidr = parseCIDR(text);
        if (cidr === undefined) throw new Error(`${text} was refused`);
        for (const ip of [near, far]) expect(cidrContains(cidr, ip), ip).toBe(list.check(ip, family));
      }),
    );
  });
});
