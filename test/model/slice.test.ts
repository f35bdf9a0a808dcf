/** What is read of one EndpointSlice. */
import { describe, expect, it } from 'vitest';
import { readSlice } from '../../src/model/endpoint.ts';
import { type Fields, triggered } from './objects.ts';
import { addresses, conditions, merge, one, slice } from './slices.ts';

describe('the ports of a slice', () => {
  const many = [
    { name: 'p', port: 8080, protocol: 'TCP' },
    { name: 'p', port: 8053, protocol: 'UDP' },
    { name: 'q', port: 8443, protocol: 'TCP' },
    { name: '', port: 9090, protocol: 'TCP' },
  ];
  it.each([
    ['p', 'TCP', ['10.200.0.11 8080']],
    ['p', 'UDP', ['10.200.0.11 8053']],
    ['q', 'TCP', ['10.200.0.11 8443']],
    ['', 'TCP', ['10.200.0.11 9090']],
    ['q', 'UDP', []],
    ['r', 'TCP', []],
  ] as const)(
    'belong to service port "%s" over %s by name and protocol, never by number',
    (name, protocol, expected) => {
      expect(addresses([slice('1', ['10.200.0.11'], { ports: many })], { name, protocol })).toEqual(expected);
    },
  );

  it.each([
    // L14, L10
    ['no number', [{ name: 'p', protocol: 'TCP' }], []],
    ['null for a number', [{ name: 'p', port: null }], []],
    ['number 0', [{ name: 'p', port: 0 }], []],
    ['no protocol, which is TCP', [{ name: 'p', port: 8080 }], ['10.200.0.11 8080']],
    ['no ports', [], []],
    ['null for ports', null, []],
    [
      'two numbers for one name',
      [
        { name: 'p', port: 81 },
        { name: 'p', port: 80 },
      ],
      ['10.200.0.11 80', '10.200.0.11 81'],
    ],
  ])('%s', (_, ports, expected) => {
    expect(addresses([slice('1', ['10.200.0.11'], { ports })])).toEqual(expected);
  });

  it('without a name belong to a Service with one port without a name', () => {
    expect(addresses([slice('1', ['10.200.0.11'], { ports: [{ port: 80 }] })], { name: '' })).toEqual([
      '10.200.0.11 80',
    ]);
  });
});

describe('an endpoint', () => {
  it.each([
    ['nothing said', {}, true, true, false],
    ['null for conditions', { conditions: null }, true, true, false],
    ['nulls', conditions(null, null, null), true, true, false],
    ['ready', conditions(true, true, false), true, true, false],
    ['not ready', conditions(false, false, false), false, false, false],
    ['not ready, serving unset', conditions(false), false, true, false],
    ['serving, not ready', conditions(false, true, false), false, true, false],
    ['draining', conditions(false, true, true), false, true, true],
    ['terminating', conditions(false, false, true), false, false, true],
    // publishNotReadyAddresses: the control plane says ready, and that counts
    ['ready though it terminates', conditions(true, false, true), true, false, true],
  ])('%s', (_, fields, ready, serving, terminating) => {
    expect(merge([one(fields)])).toMatchObject([{ ready, serving, terminating }]);
  });

  it.each([
    ['this node', 'node1', 'node1', true],
    ['another node', 'node2', 'node1', false],
    ['no node', undefined, 'node1', false],
    ['an empty name', '', 'node1', false],
    ['an empty name, and we have none either', '', '', false],
  ])('on %s', (_, nodeName, us, isLocal) => {
    expect(merge([one({ nodeName })], { nodeName: us })).toMatchObject([{ isLocal }]);
  });

  it.each([
    ['no hints', undefined, [], []],
    ['null hints', { forZones: null, forNodes: null }, [], []],
    ['zones', { forZones: [{ name: 'za' }, { name: 'zb' }] }, ['za', 'zb'], []],
    ['nodes', { forNodes: [{ name: 'node1' }] }, [], ['node1']],
  ])('with %s', (_, hints, zoneHints, nodeHints) => {
    expect(merge([one({ hints })])).toMatchObject([{ zoneHints, nodeHints }]);
  });

  it('counts with its first address, and not at all without one', () => {
    const endpoints = [{ addresses: ['10.0.0.1', '10.0.0.2'] }, { addresses: [] }, { addresses: null }, {}, null];
    expect(addresses([slice('1', [], { endpoints })])).toEqual(['10.0.0.1 8080']);
  });
});

describe('a slice', () => {
  it('knows its Service by the label, whatever its own name', () => {
    const labels = { 'kubernetes.io/service-name': 'web' };
    const object = { ...slice('1', []), metadata: { namespace: 'ns', name: 'other-xyz', labels } };
    expect(readSlice(object)).toMatchObject({ key: 'ns/other-xyz', service: 'ns/web', family: 'IPv4' });
  });

  it.each([
    ['FQDN', ['not an address']],
    ['', []],
    ['ipv4', ['10.0.0.1']],
  ])('of address type "%s" has nothing for a proxy', (addressType, ips) => {
    expect(readSlice(slice('1', ips, { addressType }))).toMatchObject({ family: undefined, ports: [], endpoints: [] });
  });

  it.each([
    ['a time', triggered(slice('1', []), Date.UTC(2026, 0, 2)), Date.UTC(2026, 0, 2)],
    ['no annotation', slice('1', []), undefined],
  ])('with %s', (_, object, expected) => {
    expect(readSlice(object)?.triggeredAt).toBe(expected);
  });

  it('with a trigger time that is none', () => {
    const annotations = { 'endpoints.kubernetes.io/last-change-trigger-time': 'yesterday' };
    const metadata = { ...(slice('1', []).metadata as Fields), annotations };
    expect(readSlice({ ...slice('1', []), metadata })?.triggeredAt).toBeUndefined();
  });

  it('gives the trigger time in nanoseconds as the API server writes it', () => {
    const annotations = { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-02T03:04:05.678901234Z' };
    const metadata = { ...(slice('1', []).metadata as Fields), annotations };
    expect(readSlice({ ...slice('1', []), metadata })?.triggeredAt).toBe(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
  });
});
