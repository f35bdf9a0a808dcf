import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endpointChain, hash16, serviceChains } from '../../../src/backends/iptables/names.ts';
import { isOurs } from '../../../src/backends/xtables/names.ts';
import { readSlice } from '../../../src/model/endpoint.ts';
import { readService, type ServicePortName } from '../../../src/model/service.ts';

const FOLDER = new URL('../../fixtures/kube-proxy-1.36.2/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, FOLDER), 'utf8');

const name = (namespace: string, service: string, port: string, protocol: ServicePortName['protocol'] = 'TCP') => ({
  namespace,
  name: service,
  port,
  protocol,
});

/** Base32 of RFC 4648, the slow way: one large number, five bits at a time. */
const slowHash = (text: string): string => {
  const bits = BigInt(`0x${createHash('sha256').update(text).digest('hex')}`)
    .toString(2)
    .padStart(256, '0');
  const digits = bits.match(/.{5}/g) ?? [];
  return digits
    .slice(0, 16)
    .map((digit) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.charAt(Number.parseInt(digit, 2)))
    .join('');
};

describe('the names of chains', () => {
  it("are those that stand in kube-proxy's own tests", () => {
    expect(serviceChains(name('ns1', 'svc1', 'p80')).svc).toBe('KUBE-SVC-XPGD46QRK7WJZT7O');
    expect(serviceChains(name('ns2', 'svc2', 'p80')).ext).toBe('KUBE-EXT-GNZBNJ2PO5MGZ6GT');
    expect(endpointChain(name('ns1', 'svc1', 'p80'), '10.180.0.1', 80)).toBe('KUBE-SEP-SXIVWICOYRO3J4NJ');
  });

  it('share one hash between the chains of a port', () => {
    const { svc, svl, ext, fw } = serviceChains(name('ns', 'web', 'http'));
    const hash = svc.replace('KUBE-SVC-', '');
    expect([svl, ext, fw]).toEqual([`KUBE-SVL-${hash}`, `KUBE-EXT-${hash}`, `KUBE-FW-${hash}`]);
  });

  it('differ by protocol, and by whether the port has a name', () => {
    const all = [
      name('ns', 'web', ''),
      name('ns', 'web', 'p'),
      name('ns', 'web', '', 'UDP'),
      name('ns', 'web', '', 'SCTP'),
    ];
    expect(new Set(all.map((one) => serviceChains(one).svc)).size).toBe(4);
  });

  it('are base32 of SHA-256, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(hash16(text)).toBe(slowHash(text));
      }),
    );
  });

  it.each([
    { family: 'IPv4', file: 'iptables-save.txt' },
    { family: 'IPv6', file: 'ip6tables-save.txt' },
  ] as const)('are those that kube-proxy 1.36.2 left in a kernel ($family)', ({ family, file }) => {
    const { items } = JSON.parse(read('objects.json')) as { items: readonly { readonly kind: string }[] };
    const services = items.filter(({ kind }) => kind === 'Service').map(readService);
    const slices = items.filter(({ kind }) => kind === 'EndpointSlice').flatMap((object) => readSlice(object) ?? []);
    const ports = services.flatMap((service) => service.ports[family]);
    const possible = new Set(
      ports.flatMap(({ name: of }) => [
        ...Object.values(serviceChains(of)),
        ...slices
          .filter((slice) => slice.service === `${of.namespace}/${of.name}`)
          .flatMap((slice) =>
            slice.ports.flatMap(({ port }) => slice.endpoints.map(({ ip }) => endpointChain(of, ip, port))),
          ),
      ]),
    );
    const left = [...read(file).matchAll(/^:(KUBE-(?:SVC|SVL|EXT|FW|SEP)-\S+)/gm)].map(([, chain]) => chain ?? '');
    expect(left.length).toBeGreaterThan(5);
    expect(left.filter((chain) => !possible.has(chain))).toEqual([]);
  });
});

describe('whose a chain is', () => {
  it.each([
    ['nat', 'KUBE-SERVICES'],
    ['nat', 'KUBE-MARK-MASQ'],
    ['nat', 'KUBE-SEP-SXIVWICOYRO3J4NJ'],
    ['nat', 'KUBE-SVC-10.96.0.0/28'],
    ['filter', 'KUBE-EXTERNAL-SERVICES'],
    ['filter', 'KUBE-EXT-tcp.30000-30015'],
    ['mangle', 'KUBE-PROXY-CANARY'],
  ] as const)('ours: %s %s', (table, chain) => {
    expect(isOurs(table, chain)).toBe(true);
  });

  it.each([
    ['filter', 'KUBE-FIREWALL'],
    ['mangle', 'KUBE-KUBELET-CANARY'],
    ['mangle', 'KUBE-IPTABLES-HINT'],
    ['nat', 'KUBE-HP-ABCDEFGHIJKLMNOP'],
    ['nat', 'KUBE-MARK-DROP'],
    ['nat', 'CNI-HOSTPORT-DNAT'],
    ['nat', 'XKUBE-SVC-A'],
    ['mangle', 'KUBE-SVC-A'],
    ['mangle', 'KUBE-SERVICES'],
    ['nat', 'PREROUTING'],
  ] as const)("somebody else's: %s %s", (table, chain) => {
    expect(isOurs(table, chain)).toBe(false);
  });
});
