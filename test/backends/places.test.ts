/** Where objects that were read lead packets: what a proxy that comes later can tell of the one before. */
import { describe, expect, it } from 'vitest';
import { iptablesBackend } from '../../src/backends/iptables/index.ts';
import { ipvsBackend } from '../../src/backends/ipvs/index.ts';
import { nftablesBackend } from '../../src/backends/nftables/index.ts';
import { frontendElements } from '../../src/backends/nftables/objects.ts';
import { chain } from '../../src/backends/xtables/objects.ts';
import { concat } from '../../src/nftables-json/construct.ts';
import { SETTINGS } from './ipvs/memory-kernel.ts';

const iptables = iptablesBackend({ family: 'IPv4' });

describe('iptables rules lead', () => {
  it.each([
    ['an address and port', '-d 10.96.0.53/32 -p udp -m udp --dport 53 -j KUBE-SVC-A', ['10.96.0.53', 53]],
    ['an IPv6 one', '-d fd96::35/128 -p udp -m udp --dport 53 -j KUBE-SVC-A', ['fd96::35', 53]],
    ['a NodePort', '-p udp -m udp --dport 30053 -j KUBE-EXT-A', [undefined, 30_053]],
    [
      'one with a comment that looks like an option',
      '-d 10.96.0.53/32 -p udp -m comment --comment "a -d 1.2.3.4 --dport 9" -m udp --dport 53 -j KUBE-SVC-A',
      ['10.96.0.53', 53],
    ],
  ])('%s elsewhere', (_, rule, [ip, port]) => {
    expect(iptables.addressPortsOf?.(chain('nat', 'KUBE-SERVICES', [rule]))).toEqual([{ ip, protocol: 'UDP', port }]);
  });

  it.each([
    ['of another protocol', 'nat', '-d 10.96.0.53/32 -p tcp -m tcp --dport 53 -j KUBE-SVC-A'],
    ['of a range of ports', 'nat', '-d 10.96.0.0/14 -p udp -m udp --dport 0:1023 -j KUBE-SVC-10.96.0.0/14'],
    ['of a network', 'nat', '-d 10.96.0.0/14 -p udp -m udp --dport 53 -j KUBE-SVC-10.96.0.0/14'],
    ['that refuse', 'filter', '-d 10.96.0.53/32 -p udp -m udp --dport 53 -j REJECT'],
    ['without a port', 'nat', '-p udp -m udp -j DNAT --to-destination 10.0.0.1:53'],
  ] as const)('nothing elsewhere that are %s', (_, table, rule) => {
    expect(iptables.addressPortsOf?.(chain(table, 'KUBE-SERVICES', [rule]))).toEqual([]);
  });
});

it.each([
  [concat('10.96.0.53', 'udp', 53), { ip: '10.96.0.53', protocol: 'UDP', port: 53 }],
  [concat('udp', 30_053), { ip: undefined, protocol: 'UDP', port: 30_053 }],
])('a frontend of mode nftables leads where its key says', (key, place) => {
  const object = frontendElements('ip', key, [], new Map());
  expect(nftablesBackend({ family: 'IPv4' }).addressPortsOf?.(object)).toEqual([place]);
});

it('a virtual server leads at its address and port, one behind a mark nobody knows where', () => {
  const backend = ipvsBackend({ family: 'IPv4', settings: SETTINGS });
  const server = { kind: 'virtual-server', id: '', content: '', settings: {} };
  const at = (key: unknown) => backend.addressPortsOf?.({ ...server, key } as never);
  expect(at({ protocol: 'UDP', address: '10.96.0.53', port: 53 })).toEqual([
    { ip: '10.96.0.53', protocol: 'UDP', port: 53 },
  ]);
  expect(at({ fwmark: 7, family: 'IPv4' })).toEqual([]);
});
