/** Networks of ClusterIPs. */
import { describe, expect, it } from 'vitest';
import { networksOf, readServiceCIDR } from '../../src/model/service-cidr.ts';
import { Tracker } from '../../src/model/tracker.ts';
import { NODE_OPTIONS } from './objects.ts';

const object = (name: string, cidrs: unknown) => ({ kind: 'ServiceCIDR', metadata: { name }, spec: { cidrs } });
const texts = (cidrs: readonly { readonly text: string }[]): readonly string[] => cidrs.map(({ text }) => text);

it('a ServiceCIDR names networks of both families', () => {
  expect(texts(readServiceCIDR(object('kubernetes', ['10.96.0.0/16', 'fd96::/112'])))).toEqual([
    '10.96.0.0/16',
    'fd96::/112',
  ]);
  expect(readServiceCIDR(object('empty', undefined))).toEqual([]);
});

it.each([
  [['10.96.0.0'], 'spec.cidrs[0] must be a network, not "10.96.0.0"'],
  [['10.96.0.0/16', 7], 'spec.cidrs[1] must be a network, not 7'],
  ['10.96.0.0/16', 'spec.cidrs must be a list, not "10.96.0.0/16"'],
])('one with %j is refused', (cidrs, message) => {
  expect(() => readServiceCIDR(object('bad', cidrs))).toThrow(message);
});

it('a network that two objects name is there once, whatever their order', () => {
  const all = [
    ['10.97.0.0/16', 'fd96::/112'],
    ['10.96.0.0/16', '10.97.0.0/16'],
  ].map((cidrs) => readServiceCIDR(object('x', cidrs)));
  expect(texts(networksOf(all, 'IPv4'))).toEqual(['10.96.0.0/16', '10.97.0.0/16']);
  expect(networksOf([...all].reverse(), 'IPv4')).toEqual(networksOf(all, 'IPv4'));
  expect(texts(networksOf(all, 'IPv6'))).toEqual(['fd96::/112']);
});

describe('a tracker', () => {
  const trackerOf = (seesServiceCIDRs: boolean): Tracker => {
    const tracker = new Tracker({ node: { ...NODE_OPTIONS, seesServiceCIDRs }, interfaceAddresses: () => [] });
    for (const kind of ['Service', 'EndpointSlice', 'Node', 'ServiceCIDR'] as const) tracker.replace(kind, []);
    tracker.take('IPv4');
    return tracker;
  };

  it('has the node looked at again when a network comes, changes or goes', () => {
    const tracker = trackerOf(true);
    const change = (): readonly string[] => {
      expect(tracker.hasWork('IPv4')).toBe(true);
      return texts(tracker.take('IPv4').node.serviceCIDRs);
    };
    tracker.put('ServiceCIDR', object('kubernetes', ['10.96.0.0/16']));
    expect(change()).toEqual(['10.96.0.0/16']);
    tracker.put('ServiceCIDR', object('kubernetes', ['10.96.0.0/16']));
    expect(tracker.hasWork('IPv4')).toBe(false);
    tracker.put('ServiceCIDR', object('more', ['10.97.0.0/16']));
    expect(change()).toEqual(['10.96.0.0/16', '10.97.0.0/16']);
    tracker.remove('ServiceCIDR', object('kubernetes', []));
    expect(change()).toEqual(['10.97.0.0/16']);
    tracker.replace('ServiceCIDR', []);
    expect(change()).toEqual([]);
  });

  it('does not where nobody asks for networks', () => {
    const tracker = trackerOf(false);
    tracker.put('ServiceCIDR', object('kubernetes', ['10.96.0.0/16']));
    expect(tracker.hasWork('IPv4')).toBe(false);
  });
});
