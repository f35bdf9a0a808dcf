import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSlice } from '../../src/model/endpoint.ts';
import { excerpt, LONGEST_EXCERPT } from '../../src/model/excerpt.ts';
import { OBJECT_KINDS, type ObjectKind } from '../../src/model/kubernetes.ts';
import { readNode } from '../../src/model/node.ts';
import { readService } from '../../src/model/service.ts';
import { readServiceCIDR } from '../../src/model/service-cidr.ts';

describe('an excerpt', () => {
  it.each([
    ['lc', '"lc"'],
    ['say "no"\n\u001b[31m', '"say \\"no\\"\\n\\u001b[31m"'],
    ['a\u2028b\u202ec\u007fd\u0085', '"a\\u2028b\\u202ec\\u007fd\\u0085"'],
    [undefined, 'undefined'],
    [null, 'null'],
    [{}, '{}'],
    [[1, 'a'], '[1,"a"]'],
    ['a'.repeat(64), `"${'a'.repeat(64)}"`],
    ['a'.repeat(262_144), `"${'a'.repeat(64)}…" (262144 characters)`],
    [['b'.repeat(100)], `["${'b'.repeat(62)}… (104 characters)`],
  ])('of %j', (value, text) => {
    expect(excerpt(value)).toBe(text);
  });

  it('of what is nested too deeply says what it is', () => {
    let deep: unknown[] = [];
    for (let i = 0; i < 100_000; i += 1) deep = [deep];
    expect(excerpt(deep)).toBe('a list');
  });

  it('is one bounded line, whatever it is of', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.jsonValue()), (value) => {
        const text = excerpt(value);
        expect(text.length).toBeLessThanOrEqual(6 * LONGEST_EXCERPT + 40);
        expect(text).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e]/u);
      }),
    );
  });
});

describe('what a malformed object is said to be', () => {
  const READERS: Readonly<Record<ObjectKind, (raw: unknown) => unknown>> = {
    Service: readService,
    EndpointSlice: readSlice,
    Node: readNode,
    ServiceCIDR: readServiceCIDR,
  };
  const LONG = `\n\u001b[2J${'x'.repeat(262_144)}`;

  /** Every field that holds text or a list, with something long in its place. */
  const spoilt = (value: unknown): readonly unknown[] => {
    if (typeof value !== 'object' || value === null) return [LONG, [LONG], { [LONG]: LONG }];
    const entries = Object.entries(value);
    const inner = entries.flatMap(([key, one]) =>
      spoilt(one).map((other) =>
        Array.isArray(value) ? value.map((each, i) => (String(i) === key ? other : each)) : { ...value, [key]: other },
      ),
    );
    return [...inner, LONG, { [LONG]: LONG }];
  };

  const metadata = { namespace: 'ns', name: 'web', labels: { 'kubernetes.io/service-name': 'web' } };
  const OBJECTS: Readonly<Record<ObjectKind, unknown>> = {
    Service: {
      metadata,
      spec: {
        type: 'LoadBalancer',
        clusterIP: '10.96.0.1',
        clusterIPs: ['10.96.0.1'],
        externalIPs: ['192.0.2.1'],
        loadBalancerSourceRanges: ['10.0.0.0/8'],
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } },
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 30_001,
        ports: [{ name: 'p', port: 80, nodePort: 30_000, protocol: 'TCP' }],
      },
      status: { loadBalancer: { ingress: [{ ip: '192.0.2.2' }] } },
    },
    EndpointSlice: {
      metadata,
      addressType: 'IPv4',
      ports: [{ name: 'p', port: 80, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.0.0.1'], nodeName: 'n', hints: { forZones: [{ name: 'z' }] } }],
    },
    Node: {
      metadata: { name: 'n' },
      spec: { podCIDR: '10.0.0.0/24', podCIDRs: ['10.0.0.0/24'] },
      status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] },
    },
    ServiceCIDR: { metadata: { name: 'c' }, spec: { cidrs: ['10.96.0.0/16'] } },
  };

  it.each(OBJECT_KINDS)('is one line of bounded length: %s', (kind) => {
    let heard = 0;
    for (const object of spoilt(OBJECTS[kind])) {
      try {
        READERS[kind](object);
      } catch (error) {
        heard += 1;
        const { message } = error as Error;
        expect(message.length).toBeLessThan(600);
        expect(message).not.toMatch(/\p{Cc}/u);
      }
    }
    expect(heard).toBeGreaterThan(3);
  });
});
