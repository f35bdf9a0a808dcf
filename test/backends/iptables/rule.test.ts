import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { targetOf } from '../../../src/backends/xtables/objects.ts';
import {
  fromPod,
  hostCidr,
  loopback,
  mark,
  oneIn,
  quote,
  rejectTarget,
  rule,
} from '../../../src/backends/xtables/rule.ts';
import { parseCIDR } from '../../../src/model/address.ts';

describe('a rule', () => {
  it('has its parts in the order in which iptables-save lists them, whatever the order in which they are given', () => {
    const match = {
      port: 80,
      comment: 'ns/web:http cluster IP',
      matches: ['-m addrtype --dst-type LOCAL'],
      protocol: 'TCP',
      inInterface: 'cni+',
      destination: '10.96.0.1/32',
      source: '! 10.200.0.0/16',
    } as const;
    expect(rule(match, 'KUBE-MARK-MASQ')).toBe(
      '! -s 10.200.0.0/16 -d 10.96.0.1/32 -i cni+ -p tcp -m comment --comment "ns/web:http cluster IP" ' +
        '-m addrtype --dst-type LOCAL -m tcp --dport 80 -j KUBE-MARK-MASQ',
    );
  });

  it('may do nothing but be there, and may match everything', () => {
    expect(rule({ comment: 'said' }, '')).toBe('-m comment --comment said');
    expect(rule({}, 'RETURN')).toBe('-j RETURN');
  });

  it('matches a range of ports by the protocol’s own match', () => {
    expect(rule({ protocol: 'SCTP', port: '0:16383' }, 'X')).toBe('-p sctp -m sctp --dport 0:16383 -j X');
  });

  it('speaks each family’s language', () => {
    expect([hostCidr('10.0.0.1'), hostCidr('fd00::1')]).toEqual(['10.0.0.1/32', 'fd00::1/128']);
    expect([loopback('IPv4'), loopback('IPv6')]).toEqual(['127.0.0.0/8', '::1/128']);
    expect(rejectTarget('IPv4')).toBe('REJECT --reject-with icmp-port-unreachable');
    expect(rejectTarget('IPv6')).toBe('REJECT --reject-with icmp6-port-unreachable');
    expect(mark(0x4000)).toBe('0x4000');
  });

  it('tells pods by their source or by the interface they come through', () => {
    const cidr = parseCIDR('10.200.0.0/16');
    if (cidr === undefined) throw new Error('not a CIDR');
    expect(fromPod({ by: 'source', cidr }, false)).toEqual({ source: '10.200.0.0/16' });
    expect(fromPod({ by: 'source', cidr }, true)).toEqual({ source: '! 10.200.0.0/16' });
    expect(fromPod({ by: 'interface', name: 'cni0' }, true)).toEqual({ inInterface: '! cni0' });
    expect(fromPod({ by: 'interface-prefix', prefix: 'cali' }, false)).toEqual({ inInterface: 'cali+' });
  });
});

describe('a comment', () => {
  it.each([
    ['kubernetes', 'kubernetes'],
    ['a-b_c9', 'a-b_c9'],
    ['ns/web', '"ns/web"'],
    ['', '""'],
    ['he said "no"', '"he said ?no?"'],
    ["back\\slash'", '"back?slash?"'],
    ['two\nlines\t', '"two?lines?"'],
    ['Zürich', '"Z?rich"'],
    ['a   b', '"a b"'],
  ])('%j is written %s', (text, written) => {
    expect(quote(text)).toBe(written);
  });

  it('is cut to what the kernel holds', () => {
    expect(quote('x'.repeat(300))).toBe('x'.repeat(255));
    expect(quote(' /'.repeat(300))).toHaveLength(255 + 2);
  });

  it('cannot end its quotes, break the line, or be taken for a target', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.constant('x -j DROP')), (text) => {
        const written = quote(text);
        expect(written).toMatch(/^(?:[-_0-9A-Za-z]+|"[ !#-&(-[\]-~]*")$/);
        expect(written).not.toContain('  ');
        expect(targetOf(rule({ comment: text }, 'KUBE-SERVICES'))).toBe('KUBE-SERVICES');
        expect(targetOf(rule({ comment: text }, ''))).toBeUndefined();
      }),
    );
  });
});

describe('the target of a rule', () => {
  it.each([
    ['-j KUBE-SERVICES', 'KUBE-SERVICES'],
    ['-p tcp -g KUBE-SVC-A', 'KUBE-SVC-A'],
    ['-j REJECT --reject-with icmp-port-unreachable', 'REJECT'],
    ['-m comment --comment "go -j THERE" -j HERE', 'HERE'],
    ['-m comment --comment "a \\" -j THERE" -j HERE', 'HERE'],
    ['-m comment --comment "nowhere -j THERE"', undefined],
    ['', undefined],
  ])('%s → %s', (text, target) => {
    expect(targetOf(text)).toBe(target);
  });
});

describe('one in n', () => {
  it.each([
    [2, '0.50000000000'],
    [3, '0.33333333349'],
    [5, '0.20000000019'],
    [7, '0.14285714272'],
  ])('of %i is listed as %s', (n, listed) => {
    expect(oneIn(n)).toBe(`-m statistic --mode random --probability ${listed}`);
  });

  it('gives each of n endpoints its share', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 1_000 }), (n) => {
        let rest = 1;
        for (let left = n; left > 1; left -= 1) {
          const probability = Number(oneIn(left).split(' ').at(-1));
          expect(Math.abs(rest * probability - 1 / n)).toBeLessThan(1e-6 / n);
          rest *= 1 - probability;
        }
        expect(Math.abs(rest - 1 / n)).toBeLessThan(1e-6 / n);
      }),
      { numRuns: 50 },
    );
  });
});
